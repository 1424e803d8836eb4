"""Metrics -> verdict: the gate, and the registry with its champion alias."""

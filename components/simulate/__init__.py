"""Logs of an invented shop whose truth is known, for demos, tests and experiments."""

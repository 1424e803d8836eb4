"""Events to labelled impressions: which click belongs to which impression, which purchase to which click (README.md)."""

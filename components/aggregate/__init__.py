"""Samples to user and item features as of the end of a day, and the join that gives them to the next day's samples (README.md)."""

"""The experiment: every arm on the same rows of a world whose truth is known, and the table that says which is better at what."""

"""Scores of a holdout -> metrics with intervals, calibration, plots and the report of a day."""

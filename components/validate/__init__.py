"""Is the day fit to train on? Great Expectations suites over exact Polars measures, a row sample for examples, Data Docs."""

"""The processes around the pipeline: PostgreSQL, Airflow, MLflow and the lookups, started, watched and stopped together."""

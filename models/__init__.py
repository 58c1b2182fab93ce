"""The learning itself: configuration, records, maths, networks and loops. Knows no Prefect, no MLflow and no database."""

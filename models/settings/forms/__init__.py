"""What is filled in to start a run from Prefect's pages."""

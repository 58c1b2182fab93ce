"""MLflow: runs, the registry, and what waits while it is away."""

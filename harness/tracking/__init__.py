"""Copy the journal to MLflow, in a thread that cannot hold up a search."""

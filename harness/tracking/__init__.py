"""MLflow, told from the journal by a thread that cannot hold up a search."""

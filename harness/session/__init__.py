"""Run a search from the command to the report."""

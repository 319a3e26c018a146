"""A search from its command to its report."""

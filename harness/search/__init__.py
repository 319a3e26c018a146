"""Decide what to try, to stop and to confirm, from the journal alone."""

"""What to try next, what to stop, what to confirm; the journal is all it knows."""

"""The events of a search, one file, and the state that they add up to."""

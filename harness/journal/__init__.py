"""The journal: the file with the events of a search, and the state that follows from them."""

"""The same work, ours and the plain formula side by side; every line prints a ratio."""

"""``saat preflight``: checks that every node is ready for a search, and leaves nothing behind."""

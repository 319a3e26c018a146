"""A leaderboard of confirmed settings: one JSON file an entry, one page a protocol."""

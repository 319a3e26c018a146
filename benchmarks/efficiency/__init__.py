"""How much compute a search saves: recorded once, replayed for every way of searching."""

"""The largest numbers that files and options of commands can give; nothing is imported for them."""

LARGEST = 2**53  # above, a table's integers and floats cannot hold a number exactly
MOST_QUERIES, MOST_STEPS, MOST_EPOCHS = 1_000_000, 100_000, 100_000

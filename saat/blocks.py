"""How many rows of a large matrix are in memory at once.

What blocks find is written into one tensor that is there before them. Small tensors that lie
between the large ones of every block would keep the allocator from using the freed memory again:
the process would grow with every block.
"""

# Of a matrix: 16 MiB as float32, 32 MiB as float64 or int64.
ELEMENTS = 1 << 22


def rows_at_once(width: int) -> int:
    """Rows of a matrix with ``width`` columns that a block has, at least 1.

    Queries against a database, or against all label vectors, are gigabytes at the protocols' sizes.
    """
    return max(1, ELEMENTS // max(1, width))

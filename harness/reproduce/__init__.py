"""``saat reproduce``: the paper's tables and figures from runs that they share."""

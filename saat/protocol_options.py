"""The words and the largest radius that a protocol can have; torch is not imported for them."""

from typing import Literal, get_args

Norm = Literal["linf", "l2", "l1"]
NORMS: tuple[str, ...] = get_args(Norm)
# The L1 norm of the largest perturbation of 1024 × 1024 pixels; no ball is of use beyond.
LARGEST_EPS = 3 * 1024**2

# How equal distances count: the expectation over their orders, or the order in the database.
Ties = Literal["expected", "stable"]
TIES: tuple[str, ...] = get_args(Ties)

"""When an end of a searched range is crowded, value by value and in exact fractions."""

import math
from collections.abc import Sequence
from fractions import Fraction


def at_least(hits: int, trials: int, chance: Fraction) -> Fraction:
    """P(X ≥ hits) of a binomial distribution."""
    return sum(
        (math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k))
        for k in range(hits, trials + 1)
    ) + Fraction(0)


def grid(low: float, high: float, step: float) -> list[float]:
    """Every value of a stepped range."""
    values, value = [], low
    while value <= high + 1e-9 * step:
        values.append(value)
        value = low + len(values) * step
    return values


def near_end(
    grid: Sequence[float], is_upper: bool, log: bool, step: float
) -> tuple[set[int], float]:
    """Indices of the values within 5 % of an end, and their share of the range."""
    scale = math.log if log else float
    low, high = scale(grid[0]), scale(grid[-1])
    inside: set[int] = set()
    mass = total = 0.0
    for index, value in enumerate(grid):
        position = (scale(value) - low) / (high - low)
        cell = scale(value + step / 2) - scale(value - step / 2)
        total += cell
        if (position >= 0.95 - 1e-9) if is_upper else (position <= 0.05 + 1e-9):
            inside.add(index)
            mass += cell
    return inside, mass / total


def is_crowded(near: int, settings: int, chance: float) -> bool:
    """At least two, at least half, and so many in at most 5 of 100 cases by chance."""
    if near < 2 or 2 * near < settings:
        return False
    return at_least(near, settings, Fraction(chance)) <= Fraction(5, 100)

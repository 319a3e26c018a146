"""Fronts and hypervolumes with any directions, in their plainest form."""

import math
from collections.abc import Sequence
from itertools import combinations

Point = Sequence[float]


def is_better_or_equal(a: float, b: float, maximise: bool) -> bool:
    return a >= b if maximise else a <= b


def dominates(a: Point, b: Point, maximise: Sequence[bool]) -> bool:
    """At least as good everywhere, and different."""
    every = all(is_better_or_equal(x, y, m) for x, y, m in zip(a, b, maximise, strict=True))
    return every and tuple(a) != tuple(b)


def front(points: Sequence[Point], maximise: Sequence[bool]) -> list[int]:
    """Indices of the points that no other dominates."""
    return [i for i, p in enumerate(points) if not any(dominates(q, p, maximise) for q in points)]


def hypervolume(points: Sequence[Point], reference: Point, maximise: Sequence[bool]) -> float:
    """Volume between the points and the reference, by inclusion and exclusion of boxes."""
    signs = [1 if m else -1 for m in maximise]
    sides = [
        [max(0.0, s * (x - r)) for s, x, r in zip(signs, p, reference, strict=True)] for p in points
    ]
    total = 0.0
    for size in range(1, len(sides) + 1):
        for group in combinations(sides, size):
            shared = math.prod(min(side) for side in zip(*group, strict=True))
            total += -shared if size % 2 == 0 else shared
    return total


def best_reached(points: Sequence[Point], at: float, maximise: Sequence[bool]) -> float:
    """The best second value among the points whose first is at least as good as ``at``."""
    reached = [y for x, y in points if is_better_or_equal(x, at, maximise[0])]
    return max(reached) if maximise[1] else min(reached)

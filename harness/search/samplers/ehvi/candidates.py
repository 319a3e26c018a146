"""Candidates for the next trial: random points, and neighbours of the most promising ones."""

from collections.abc import Callable

import numpy as np

from harness.search.samplers.ehvi.encoding import Array, SpaceEncoding, filled
from harness.search.samplers.ehvi.prior import Prior

Score = Callable[[Array], Array]  # positions (n, k) → (n,), larger is better

_RANDOM, _LOCAL_STARTS, _NEIGHBOURS = 1024, 8, 32
_RADII = (0.1, 0.03, 0.01)  # of the rounds of neighbours around the best candidates


def candidates(
    encoding: SpaceEncoding, prior: Prior, known: Array, score: Score, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Positions (n, k) of candidates, and their scores (n,).

    Half of the random points are drawn from the prior. Every round adds neighbours of the best
    points so far, and all points that differ from one of them in a single choice.

    Args:
        encoding: of the space.
        prior: over it.
        known: (f, k) positions of the front, from which the search of neighbours starts too.
        score: of positions.
        rng: of all draws.
    """
    shares = rng.random((_RANDOM, encoding.size))
    shares[::2] = prior.quantiles(shares[::2])
    found = encoding.placed(np.vstack([shares, filled(known, rng)]))
    scores = score(found)
    for radius in _RADII:
        best = found[np.argsort(-scores, kind="stable")[:_LOCAL_STARTS]]
        near = np.vstack(
            [
                encoding.neighbours(best, _NEIGHBOURS, radius, rng),
                encoding.single_changes(best, rng),
            ]
        )
        found = np.vstack([found, near])
        scores = np.concatenate([scores, score(near)])
    return found, scores

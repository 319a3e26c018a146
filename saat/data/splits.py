"""Draw validation queries from the database, never from the test queries."""

import numpy as np

from saat.errors import InputError
from saat.seeding import derive_seed, numpy_generator
from saat.wording import counted


def draw_validation(
    train: np.ndarray, database: np.ndarray, val_queries: int, seed: int, source: str
) -> tuple[np.ndarray, np.ndarray]:
    """Choose validation queries and take them out of the training rows.

    They come from the database outside ``train``. If that has fewer rows than ``val_queries``, or
    if the database would lose more than half of its rows, all of them are taken from ``train``
    instead. Fewer queries under the same seed are a subset of more.

    ``train`` and ``database`` are int64 rows; a row may occur twice.

    Returns:
        The training rows that remain, in their order, and ``val_queries`` distinct rows. These are
        in random order, so that the first few are of all classes even if the list is sorted.

    Raises:
        InputError: Fewer than half of the training images would remain; it begins with ``source``.
    """
    outside = np.setdiff1d(database, train)
    distinct = np.unique(train)
    if val_queries <= min(outside.size, np.unique(database).size // 2):
        pool = outside
    elif val_queries <= distinct.size // 2:
        pool = distinct
    else:
        raise InputError(
            f"{source}: val_queries {val_queries}: the database has "
            f"{counted(outside.size, 'image')} outside train, and of the "
            f"{counted(distinct.size, 'train image')} at most {distinct.size // 2} may be held "
            "out; lower val_queries"
        )
    rng = numpy_generator(derive_seed("validation queries", seed))
    validation = rng.permutation(pool)[:val_queries]
    return train[~np.isin(train, validation)], validation

"""How many images an experiment works on, also where they are not at hand."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.experiment.config import Experiment
from harness.session.checks import check_batch_sizes, check_sizes, open_data
from saat.data import DATASETS, locate
from saat.errors import InputError


@dataclass(frozen=True)
class DataSizes:
    """Numbers of images: of every split, and of all that are decoded.

    ``train_in_database`` are the training images that validation queries search. ``missing`` says
    why the data themselves could not be opened; empty if they were, and have a ``fingerprint``.
    """

    train: int
    database: int
    validation_database: int
    validation: int
    test: int
    images: int
    train_in_database: int
    missing: str = ""
    fingerprint: str = ""


def data_sizes(
    experiment: Experiment, cache_dir: str | None, say: Callable[[str], None]
) -> DataSizes:
    """Those of the data; of their published lists where these are known and the data not here.

    Raises:
        InputError: what a search would refuse about them, or no sizes are known.
    """
    section = experiment.data
    published = DATASETS[section.name].sizes if section.name else None
    if published is not None:
        try:
            locate(str(section.name), section.root)
        except InputError as error:
            return _published(experiment, published, str(error))
    data = open_data(experiment, cache_dir, say)
    return DataSizes(
        train=len(data.train),
        database=len(data.database),
        validation_database=len(data.validation_database),
        validation=len(data.validation),
        test=len(data.test),
        images=len(data.images),
        train_in_database=int(np.isin(data.train, data.validation_database).sum()),
        fingerprint=data.fingerprint,
    )


def _published(experiment: Experiment, sizes: tuple[int, int, int], missing: str) -> DataSizes:
    train, database, test = sizes
    held_out, most = experiment.data.val_queries, database // 2
    if held_out > most:
        raise InputError(f"data.val_queries: {held_out}: at most {most} with the published lists")
    left = database - held_out
    check_batch_sizes(experiment)
    check_sizes(experiment, left, held_out)
    # Published training sets are parts of the database; validation queries are none of them.
    return DataSizes(train, database, left, held_out, test, database + test, train, missing)

"""How many images an experiment works on, also where they are not at hand."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.experiment.config import Experiment
from harness.session.checks import open_data
from saat.data import DATASETS, RetrievalData, locate
from saat.errors import InputError


@dataclass(frozen=True)
class DataSizes:
    """Numbers of images: of every split, and of all that are decoded.

    ``train_in_database`` are the training images that validation queries search.
    ``missing`` says why the data themselves could not be opened; empty if they were.
    """

    train: int
    database: int
    validation_database: int
    validation: int
    test: int
    images: int
    train_in_database: int
    missing: str = ""

    @classmethod
    def of(cls, data: RetrievalData) -> "DataSizes":
        """Those of a data set that is open."""
        return cls(
            train=len(data.train),
            database=len(data.database),
            validation_database=len(data.validation_database),
            validation=len(data.validation),
            test=len(data.test),
            images=len(data.images),
            train_in_database=int(np.isin(data.train, data.validation_database).sum()),
        )


def data_or_sizes(
    experiment: Experiment, cache_dir: str | None, say: Callable[[str], None]
) -> tuple[RetrievalData | None, DataSizes]:
    """Open the data; where they are not here but their published lists are known, sizes alone.

    Raises:
        InputError: what a search would refuse about them, or no sizes are known.
    """
    section = experiment.data
    published = DATASETS[section.name].sizes if section.name else None
    if published is not None:
        try:
            locate(str(section.name), section.root)
        except InputError as error:
            return None, _published(experiment, published, str(error))
    data = open_data(experiment, cache_dir, say)
    return data, DataSizes.of(data)


def _published(experiment: Experiment, sizes: tuple[int, int, int], missing: str) -> DataSizes:
    train, database, test = sizes
    held_out, queries = experiment.data.val_queries, experiment.validation.queries
    left, top_k = database - held_out, experiment.evaluation.top_k
    for key, value, most in (
        ("data.val_queries", held_out, database // 2),
        ("evaluation.top_k", top_k, left),
        ("validation.queries", queries, held_out),
    ):
        if value > most:
            raise InputError(f"{key}: {value}: at most {most} with the published lists")
    # Published training sets are parts of the database; validation queries are none of them.
    return DataSizes(train, database, left, held_out, test, database + test, train, missing)

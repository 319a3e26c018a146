"""How many trials a search will have, and how many images they work on: what is known before it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.experiment.config import Experiment
from harness.experiment.configs import config_at, longest_training
from harness.experiment.published import confirmed_configs, published_configs
from harness.experiment.space import Dimension, points
from harness.journal.state import config_hash
from harness.search.plan import scheduler_of
from harness.search.search import MOST_POINTS
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

    @property
    def notes(self) -> list[str]:
        """A sentence where the data are not here."""
        reason = self.missing.partition(";")[0]
        return [f"{reason}; counted with the published lists"] if reason else []


def data_sizes(
    experiment: Experiment, cache_dir: str | None, say: Callable[[str], None]
) -> DataSizes:
    """Those of the data; of their published lists where these are known and the data not here.

    What a search would refuse about them is refused here too.
    """
    section = experiment.data
    published = DATASETS[section.name].sizes if section.name else None
    if published is not None:
        try:
            locate(str(section.name), section.root)
        except InputError as error:
            return _published_sizes(experiment, *published, missing=str(error))
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


def _published_sizes(
    experiment: Experiment, train: int, database: int, test: int, missing: str
) -> DataSizes:
    held_out, most = experiment.data.val_queries, database // 2
    if held_out > most:
        raise InputError(f"data.val_queries: {held_out}: at most {most} with the published lists")
    left = database - held_out
    check_batch_sizes(experiment)
    check_sizes(experiment, left, held_out)
    # Published training sets are parts of the database; validation queries are none of them.
    return DataSizes(train, database, left, held_out, test, database + test, train, missing)


@dataclass(frozen=True)
class SearchSize:
    """How much a search will do, as far as is known before it.

    Numbers of pretrained models are the largest that exploring and confirming may need.
    """

    defaults: int  # settings of the paper
    sampled: int  # settings that the sampler will suggest
    known: int  # trials of earlier searches, which do not run again
    confirmed: int  # settings
    explore_pretrained: int
    confirm_pretrained: int
    rungs: list[tuple[int, int]]  # (epoch, number of sampled trials expected to go on after it)

    @property
    def explored(self) -> int:
        """Explore trials."""
        return self.defaults + self.sampled


def size_of_search(experiment: Experiment, fingerprint: str, known: set[str]) -> SearchSize:
    """Count trials and pretrained models; settings whose hashes are ``known`` do not run again."""
    hashes = {config_hash(config, fingerprint) for config in published_configs(experiment)}
    defaults = len(hashes - known)
    sampled = left = _sampled(experiment, fingerprint, known | hashes)
    confirmed = confirmed_configs(experiment, sampled + len(known))
    models = math.prod(
        _count_values(dimension)
        for key, dimension in experiment.space.items()
        if key.startswith(("model.", "pretrain."))
    )
    factor, rungs = experiment.search.reduction_factor, []
    for epoch in scheduler_of(experiment).rungs(longest_training(experiment)):
        if left >= factor:  # fewer at a rung go on, all of them
            left //= factor
        rungs.append((epoch, left))
    return SearchSize(
        defaults,
        sampled,
        len(known),
        confirmed,
        explore_pretrained=int(min(models, defaults + sampled)),
        confirm_pretrained=int(min(models, confirmed)) * experiment.confirm.seeds,
        rungs=rungs,
    )


def _count_values(dimension: Dimension) -> float:
    """Number of values of a dimension; infinite for a continuous range."""
    grid = dimension.grid()
    return math.inf if grid is None else len(grid)


def _sampled(experiment: Experiment, fingerprint: str, known: set[str]) -> int:
    """Number of settings to sample; a space without a continuous range may have fewer."""
    wanted = experiment.planned_samples
    points_in_space = math.prod(map(_count_values, experiment.space.values()))
    # The search never goes through more points than that.
    if points_in_space - len(known) >= wanted or points_in_space > MOST_POINTS:
        return wanted
    base = experiment.config.flat()
    configs = (config_at(experiment, point) for point in points(experiment.space, base))
    return min(wanted, len({config_hash(s, fingerprint) for s in configs} - known))

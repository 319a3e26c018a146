"""How many trials a search will have, and how many of them are expected to go on."""

import math
from dataclasses import dataclass

from harness.experiment.config import Experiment
from harness.experiment.configs import config_at, longest_training
from harness.experiment.published import confirmed_configs, published_configs
from harness.experiment.space import Dimension, points
from harness.journal.state import config_hash
from harness.search.plan import scheduler_of
from harness.search.search import MOST_POINTS


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
    sampled = _sampled(experiment, fingerprint, known | hashes)
    confirmed = confirmed_configs(experiment, sampled + len(known))
    models = math.prod(
        _count_values(dimension)
        for key, dimension in experiment.space.items()
        if key.startswith(("model.", "pretrain."))
    )
    return SearchSize(
        defaults,
        sampled,
        len(known),
        confirmed,
        explore_pretrained=int(min(models, defaults + sampled)),
        confirm_pretrained=int(min(models, confirmed)) * experiment.confirm.seeds,
        rungs=_rungs(experiment, sampled),
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


def _rungs(experiment: Experiment, sampled: int) -> list[tuple[int, int]]:
    """Rungs at the epochs grace · ηᵏ; of n sampled trials at a rung about n / η go on."""
    factor, rungs, left = experiment.search.reduction_factor, [], sampled
    for epoch in scheduler_of(experiment).rungs(longest_training(experiment)):
        if left >= factor:  # fewer at a rung go on, all of them
            left //= factor
        rungs.append((epoch, left))
    return rungs

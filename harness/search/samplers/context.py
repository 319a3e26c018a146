"""The context that a search gives to a sampler.

Every suggestion gets a sampler of its own. A class of the registry is called with ``seed`` alone,
unless it has one of these:

- ``for_search(context)``, a class method: makes the sampler from a :class:`SamplerContext`.
- ``learns_outside_space = True``: the study also holds trials with a number outside the search
  space, such as the paper's default. The distribution of such a number has this one value.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution

from saat.feasibility import Preference
from saat.seeding import derive_seed

Applies = Callable[[str, Mapping[str, Any]], bool]


@dataclass(frozen=True)
class SearchedObjective:
    """What a search knows of an objective beforehand; values are in the objective's own unit."""

    maximise: bool
    worst: float  # the reference of the hypervolume
    best: float | None = None  # no value is better; None: not known, as of seconds
    bound: float | None = None  # the least value (the most, if minimised) that a constraint allows


@dataclass(frozen=True)
class Guess:
    """A value of a parameter that is thought to be good."""

    value: Any
    confidence: float  # above 0, at most 1


@dataclass(frozen=True)
class SamplerContext:
    """One suggestion of a search."""

    search_seed: int
    number: int  # of the trial within the search, from 0
    attempt: int  # earlier suggestions for the same trial that could not be used
    space: Mapping[str, BaseDistribution]  # searched keys, in the order of suggestion
    conditional: frozenset[str]  # keys of the space that not every trial has
    applies: Applies  # whether a trial has a key, given the values of the keys before it
    num_samples: int  # planned suggestions
    objectives: tuple[SearchedObjective, ...]  # in the order of the study's directions
    prior: Mapping[str, Guess] = field(default_factory=dict)  # by key of the space
    preference: Preference | None = None

    @property
    def seed(self) -> int:
        """Seed of this suggestion, 32 bits."""
        return derive_seed(self.search_seed, self.number, self.attempt) % 2**32

    @property
    def n_startup_trials(self) -> int:
        """Random trials before a sampler learns: ten, or a third of a small budget."""
        return max(4, min(10, self.num_samples // 3))

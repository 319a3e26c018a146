"""Plays a sampler on a table: suggestions, with their objectives told, one or several at once."""

import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.samplers import BaseSampler

from benchmarks.samplers.tables import Table
from harness.search.samplers.context import SamplerContext, SearchedObjective
from harness.search.samplers.registry import SAMPLERS

# (table, seed, trials) → number of the trial → the sampler of its suggestion.
Player = Callable[[Table, int, int], Callable[[int], BaseSampler]]


class Played(NamedTuple):
    """Share of the best hypervolume after every ended trial, and CPU seconds of suggestions."""

    shares: list[float]
    seconds: list[float]


def _optunas(
    kind: Callable[..., BaseSampler], table: Table, seed: int, trials: int
) -> Callable[[int], BaseSampler]:
    """One of Optuna's, as it ships it."""
    sampler = kind(seed=seed)
    return lambda number: sampler


def _ours(name: str, table: Table, seed: int, trials: int) -> Callable[[int], BaseSampler]:
    """One of the product's, made for every suggestion as a search makes it."""
    kind: Any = SAMPLERS[name]

    def sampler(number: int) -> BaseSampler:
        context = SamplerContext(
            search_seed=seed,
            number=number,
            attempt=0,
            space=table.space,
            conditional=frozenset(),
            applies=lambda _key, _point: True,
            num_samples=trials,
            objectives=(SearchedObjective(maximise=True, worst=0.0, best=1.0),) * 2,
        )
        made: BaseSampler = kind.for_search(context)
        return made

    return sampler


PLAYERS: Mapping[str, Player] = {
    "random": partial(_optunas, optuna.samplers.RandomSampler),
    "Optuna TPE": partial(_optunas, optuna.samplers.TPESampler),
    "Optuna NSGA-II": partial(_optunas, optuna.samplers.NSGAIISampler),
    "Optuna GP": partial(_optunas, optuna.samplers.GPSampler),
    **{name: partial(_ours, name) for name in ("tpe", "nsga2", "gp", "ehvi")},
}


def play(table: Table, player: Player, seed: int, trials: int = 40, at_once: int = 1) -> Played:
    """Run a study; of several trials at once, the one that began first ends first.

    Args:
        table: what is searched.
        player: how it is searched.
        seed: of all suggestions.
        trials: evaluations.
        at_once: trials that run beside each other.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler_of = player(table, seed, trials)
        study = optuna.create_study(directions=["maximize", "maximize"])
        running: list[optuna.Trial] = []
        values: list[NDArray[np.float64]] = []
        played = Played([], [])
        for number in range(trials + at_once - 1):
            if number < trials:
                started = time.process_time()
                study.sampler = sampler_of(number)
                running.append(study.ask(dict(table.space)))
                played.seconds.append(time.process_time() - started)
            if len(running) == at_once or number >= trials:
                ended = running.pop(0)
                values.append(table(ended.params))
                study.tell(ended, values[-1].tolist())
                played.shares.append(table.share(np.array(values)))
    return played

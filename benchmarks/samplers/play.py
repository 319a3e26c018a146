"""Plays a sampler on a problem: a study of trainings, one or several at once."""

import time
import warnings
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.samplers import BaseSampler

from benchmarks.samplers.problem import Problem
from harness.experiment.search_section import SearchSection
from harness.search.samplers.context import Guess, SamplerContext, SearchedObjective
from harness.search.samplers.ehvi.encoding import SpaceEncoding
from harness.search.samplers.registry import SAMPLERS
from harness.search.samplers.trial_attributes import PLANNED_EPOCHS, PROBE, report_epoch
from harness.search.schedulers.registry import SCHEDULERS

# (problem, seed, trials) → number of the trial → the sampler of its suggestion.
Player = Callable[[Problem, int, int], Callable[[int], BaseSampler]]
Prior = Mapping[str, Guess]
Guesses = Callable[[Problem, int], Prior]
GUESSED_FROM, CONFIDENCE = 50, 0.5  # random settings; of a search for the paper's default too


class Played(NamedTuple):
    """What a study came to.

    Attributes:
        spent: compute when each training completed, in whole trainings.
        shares: share of the best hypervolume then.
        seconds: CPU seconds of every suggestion.
    """

    spent: list[float]
    shares: list[float]
    seconds: list[float]

    def at(self, compute: float) -> float:
        """The share when so much was spent; 0 before the first training completed."""
        completed = bisect_right(self.spent, compute)
        return self.shares[completed - 1] if completed else 0.0


def _optunas(
    kind: Callable[..., BaseSampler], problem: Problem, seed: int, trials: int
) -> Callable[[int], BaseSampler]:
    """One of Optuna's, as it ships it."""
    sampler = kind(seed=seed)
    return lambda number: sampler


def _ours(
    name: str, problem: Problem, seed: int, trials: int, guess: Guesses | None = None
) -> Callable[[int], BaseSampler]:
    """One of the product's, made for every suggestion as a search makes it."""
    kind: Any = SAMPLERS[name]
    prior = guess(problem, seed) if guess else {}

    def sampler(number: int) -> BaseSampler:
        context = SamplerContext(
            search_seed=seed,
            number=number,
            attempt=0,
            space=problem.space,
            conditional=frozenset(),
            applies=lambda _key, _point: True,
            num_samples=trials,
            objectives=(SearchedObjective(maximise=True, worst=0.0, best=1.0),) * 2,
            prior=prior,
        )
        made: BaseSampler = kind.for_search(context)
        return made

    return sampler


def _guess(choose: Callable[[NDArray[np.float64]], np.intp], problem: Problem, seed: int) -> Prior:
    """A setting as the prior: one of fifty random ones, chosen by the products of objectives."""
    encoding, rng = SpaceEncoding(problem.space), np.random.default_rng(seed)
    settings = [encoding.random(rng) for _ in range(GUESSED_FROM)]
    products = np.array([problem.curve(setting)[-1].prod() for setting in settings])
    return {key: Guess(value, CONFIDENCE) for key, value in settings[choose(products)].items()}


# Those of Optuna train every setting to its end.
OPTUNAS: Mapping[str, Player] = {
    "random": partial(_optunas, optuna.samplers.RandomSampler),
    "Optuna TPE": partial(_optunas, optuna.samplers.TPESampler),
    "Optuna NSGA-II": partial(_optunas, optuna.samplers.NSGAIISampler),
    "Optuna GP": partial(_optunas, optuna.samplers.GPSampler),
}
PLAYERS: Mapping[str, Player] = {
    **OPTUNAS,
    **{name: partial(_ours, name) for name in ("tpe", "nsga2", "gp", "ehvi")},
    "ehvi, good prior": partial(_ours, "ehvi", guess=partial(_guess, np.argmax)),
    "ehvi, wrong prior": partial(_ours, "ehvi", guess=partial(_guess, np.argmin)),
}


@dataclass
class _Training:
    """A trial that runs."""

    trial: optuna.Trial
    curve: NDArray[np.float64]  # (epochs, 2)
    done: int = 0  # epochs


class _Stopping:
    """Which trainings stop early in a search with default settings."""

    def __init__(self, problem: Problem) -> None:
        section = SearchSection()
        kind = SCHEDULERS[section.scheduler]
        self._scheduler = kind.for_search(section, problem.epochs, ("clean_map", "robust_map"))

    def __call__(self, training: _Training) -> bool:
        number, epoch = training.trial.number, training.done
        values = tuple(training.curve[epoch - 1].tolist())
        stop = self._scheduler.should_stop(str(number), epoch, values)
        notes = training.trial.study.get_trials(deepcopy=False)[number].system_attrs
        return stop or (PROBE in notes and epoch == self._scheduler.first_rung)


def play(
    problem: Problem,
    player: Player,
    seed: int,
    trials: int = 40,
    at_once: int = 1,
    stopping: bool = False,
) -> Played:
    """Run a study with the compute of ``trials`` whole trainings, and no more.

    An epoch costs the same in every training, so trainings that run beside each other have their
    next epochs in turn.

    Args:
        problem: what is searched.
        player: how it is searched.
        seed: of all suggestions.
        trials: whole trainings; more begin where some are stopped early.
        at_once: trainings that run beside each other.
        stopping: whether the product's scheduler stops trainings.
    """
    study = optuna.create_study(directions=["maximize", "maximize"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler_of = player(problem, seed, trials)
    stops = _Stopping(problem)
    played = Played([], [], [])
    running: deque[_Training] = deque()
    values: list[NDArray[np.float64]] = []
    spent, left = 0, trials * problem.epochs  # epochs done, and not yet given to a training
    while left >= problem.epochs or running:
        while left >= problem.epochs and len(running) < at_once:
            running.append(_suggested(study, sampler_of, problem, played.seconds))
            left -= problem.epochs
        training = running.popleft()
        training.done += 1
        spent += 1
        after = training.curve[training.done - 1]
        if problem.epochs > 1:
            report_epoch(training.trial, after.tolist())
        if training.done == problem.epochs:
            values.append(after)
            study.tell(training.trial, after.tolist())
            played.spent.append(spent / problem.epochs)
            played.shares.append(problem.share(np.array(values)))
        elif stopping and stops(training):
            study.tell(training.trial, state=optuna.trial.TrialState.PRUNED)
            left += problem.epochs - training.done
        else:
            running.append(training)
    return played


def _suggested(
    study: optuna.Study,
    sampler_of: Callable[[int], BaseSampler],
    problem: Problem,
    seconds: list[float],
) -> _Training:
    """The next training; the CPU time of its suggestion is added to ``seconds``."""
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = sampler_of(len(seconds))
        trial = study.ask(dict(problem.space))
    seconds.append(time.process_time() - started)
    if problem.epochs > 1:
        trial.set_user_attr(PLANNED_EPOCHS, problem.epochs)
    return _Training(trial, problem.curve(trial.params))

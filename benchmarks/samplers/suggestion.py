"""CPU seconds of a suggestion, after few and after many trials.

``python -m benchmarks.samplers.suggestion`` prints the median for studies of 100 and 1,000 trials,
and how many times longer the later ones take. Half of the trials were stopped halfway, and all of
them reported their epochs, as in a search.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState, create_trial

from benchmarks.samplers.functions import EPOCHS as LENGTH
from benchmarks.samplers.functions import Function, function
from benchmarks.samplers.play import PLAYERS, Player
from harness.search.samplers.trial_attributes import EPOCHS, PLANNED_EPOCHS

DIMENSIONS = 5


def objectives(points: np.ndarray, fidelity: float) -> np.ndarray:
    """Two distances of points (n, d), which contradict each other; epochs make both better."""
    distances = [np.abs(points - at).mean(axis=1) for at in (0.3, 0.7)]
    return -(2 - fidelity) * np.column_stack(distances)


def study_of(problem: Function, trials: int, seed: int) -> optuna.Study:
    """A study with ended trials at random settings; every other one stopped halfway."""
    rng = np.random.default_rng(seed)
    study = optuna.create_study(directions=["maximize", "maximize"])
    space: dict[str, BaseDistribution] = dict(problem.space)
    for number in range(trials):
        params = dict(zip(space, rng.random(len(space)).tolist(), strict=True))
        curve = problem.curve(params).tolist()
        stopped = number % 2 == 1
        study.add_trial(
            create_trial(
                state=TrialState.PRUNED if stopped else TrialState.COMPLETE,
                params=params,
                distributions=space,
                values=None if stopped else curve[-1],
                user_attrs={
                    PLANNED_EPOCHS: LENGTH,
                    EPOCHS: curve[: (LENGTH + 1) // 2] if stopped else curve,
                },
            )
        )
    return study


def seconds(problem: Function, player: Player, trials: int, suggestions: int) -> list[float]:
    """CPU seconds of suggestions, each the next one of a study of its own."""
    found = []
    for seed in range(suggestions):
        study = study_of(problem, trials, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            started = time.process_time()
            study.sampler = player(problem, seed, trials + 1)(trials)
            study.ask(dict(problem.space))
            found.append(time.process_time() - started)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samplers", nargs="+", default=["ehvi"], choices=PLAYERS)
    parser.add_argument("--trials", nargs="+", type=int, default=[100, 1000])
    parser.add_argument("--suggestions", type=int, default=7, help="whose median counts")
    given = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem = function("suggestion/distances", DIMENSIONS, objectives)
    print("| CPU seconds of a suggestion |", *(f"{n} trials |" for n in given.trials), "ratio |")
    print("|---|" + "---:|" * (len(given.trials) + 1))
    for name in given.samplers:
        medians = [
            statistics.median(seconds(problem, PLAYERS[name], trials, given.suggestions))
            for trials in given.trials
        ]
        cells = [*(f"{median:.4f}" for median in medians), f"{medians[-1] / medians[0]:.1f}"]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

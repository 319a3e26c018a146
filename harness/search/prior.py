"""Where good settings are expected before a search: ``search.prior``."""

from typing import Any

from harness.experiment.config import Experiment
from harness.experiment.configs import config_at
from harness.experiment.published import paper_defaults
from harness.search.samplers.context import Guess

# Of the paper's default: its authors chose it, for data and a goal of their own.
_CONFIDENCE = 0.5


def guesses(experiment: Experiment) -> dict[str, Guess]:
    """Guesses by searched key; none where nothing is expected.

    With ``paper`` they are the values of the paper's default, of the keys that it has one value
    for and whose range contains it.
    """
    space, prior = experiment.space, experiment.search.prior
    if isinstance(prior, str):
        given = _published(experiment) if prior == "paper" else {}
    else:
        given = {key: (guess.value, guess.confidence) for key, guess in prior.items()}
    return {
        key: Guess(int(value) if space[key].int_range is not None else value, sure)
        for key, (value, sure) in given.items()
    }


def _published(experiment: Experiment) -> dict[str, tuple[Any, float]]:
    space, points = experiment.space, paper_defaults(experiment)
    if not points:
        return {}
    config = config_at(experiment, points[0]).flat()
    return {
        key: (value, _CONFIDENCE)
        for key, value in points[0].items()
        if key in space
        and all(point[key] == value for point in points)
        and space[key].applies(config)
        and space[key].contains(value)
    }

"""A space, and a setting that it begins from, for each value of one key: ``search.each``."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from harness.experiment.aims_section import file_key
from harness.experiment.config import Experiment
from harness.experiment.configs import config_at
from harness.experiment.space import Dimension
from saat.errors import InputError, did_you_mean, one_line

MOST_VALUES = 12  # of a key; more fronts in one figure cannot be told apart


class Stratum(NamedTuple):
    """The part of a search in which the key of ``search.each`` has one value."""

    # What is searched there: keys that apply, with the published defaults of another defense, and
    # without ``search.each``. Its objectives are those of the whole search.
    experiment: Experiment
    # What all its points have: the value, and the searched keys that have one value only.
    fixed: Mapping[str, Any]


def strata(experiment: Experiment) -> list[Stratum]:
    """The parts of a search, in the order of the file; the whole of it without ``search.each``."""
    key = experiment.search.each
    if key is None:
        return [Stratum(experiment, {})]
    return [_stratum(experiment, key, value) for value in experiment.space[key].choice or ()]


def check_by(key: str, space: Mapping[str, Dimension], run: str) -> None:
    """Refuse a key of ``saat report --by`` that has no few values to draw a front for.

    ``run`` is the name of the run that searches the space, for the message.

    Raises:
        InputError: the run does not search the key, or the key has more than `MOST_VALUES` values.
    """
    fitting = keys_of_few_values(space)
    shown, allowed = f"--by {one_line(key, 60)}", ", ".join(fitting) or "none here"
    if key not in space:
        hint = did_you_mean(key, space)
        raise InputError(f"{shown}: {run} does not search this key; allowed: {allowed}{hint}")
    if key not in fitting:
        raise InputError(
            f"{shown}: more than {MOST_VALUES} values, each of which would have a front; allowed "
            f"are keys with a choice or a grid of at most {MOST_VALUES} values: {allowed}"
        )


def keys_of_few_values(space: Mapping[str, Dimension]) -> list[str]:
    """Searched keys with at most `MOST_VALUES` values, each of which can have a front."""
    grids = {name: dimension.grid() for name, dimension in space.items()}
    return [name for name, grid in grids.items() if grid and len(grid) <= MOST_VALUES]


def _stratum(experiment: Experiment, key: str, value: Any) -> Stratum:
    fixed, space = {key: value}, {}
    for name, dimension in experiment.space.items():
        wanted = dimension.conditions.get(key)
        if name == key or (wanted is not None and value not in wanted):
            continue
        when = {other: values for other, values in dimension.when.items() if other != key}
        grid = dimension.grid()
        if not when and grid is not None and len(grid) == 1:
            fixed[name] = grid[0]
            continue
        given = dimension.model_dump(by_alias=True, exclude_defaults=True)
        space[name] = Dimension.model_validate({**given, "when": when})
    config, search = config_at(experiment, fixed), experiment.search
    prior = search.prior
    if isinstance(prior, Mapping):
        prior = {name: guess for name, guess in prior.items() if name in space}
    whole = {name: getattr(experiment, name) for name in Experiment.model_fields}
    changed = {
        **dict(config),
        "space": space,
        # The reference of the code length depends on the lengths of the whole space.
        "objectives": {
            file_key(o.name): {"max" if o.maximise else "min": o.reference}
            for o in experiment.aims.objectives
        },
        "search": search.model_copy(update={"each": None, "prior": prior}),
    }
    return Stratum(Experiment.model_construct(**{**whole, **changed}), fixed)

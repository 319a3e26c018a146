"""What is wrong with the points of an experiment's space, and with its compared settings."""

from collections.abc import Mapping
from typing import Any

from harness.experiment.config import Experiment, digest
from harness.experiment.configs import config_at, corners
from harness.experiment.section import SHOWN, collecting, nearest
from harness.experiment.space import SEARCHABLE, Dimension
from harness.experiment.strata import MOST_VALUES
from harness.named_paths import setting_paths
from saat.errors import did_you_mean, one_line
from saat.model_source import check_weights_file


def space_faults(experiment: Experiment, files: bool) -> list[str]:
    """What is wrong with points that can be suggested, as far as the ends of ranges tell.

    ``files`` says whether files of weights are looked at.
    """
    space, base = experiment.space, experiment.config.flat()
    if faults := [*_prior_faults(experiment), *_each_faults(experiment)]:
        return faults
    if faults := _point_faults(experiment, {}, "", files):
        return faults
    for key, dimension in space.items():
        faults += _dimension_faults(experiment, key, dimension, base, files)
    for point in () if faults else corners(experiment):
        # Of a combination all its parts are named: each of them alone was allowed.
        parts = " ".join(f"{key}={one_line(value, SHOWN)}" for key, value in point.items())
        if faults := _point_faults(experiment, point, f"space: {parts}: ", files):
            break
    return faults


def _prior_faults(experiment: Experiment) -> list[str]:
    """Guesses of ``search.prior`` at keys that are not searched, or at values outside the space."""
    space, prior = experiment.space, experiment.search.prior
    faults = []
    for key, guess in prior.items() if isinstance(prior, Mapping) else ():
        where = f"search.prior.{one_line(key, SHOWN)}"
        if key not in space:
            faults.append(f"{where}: not searched{nearest(key, space)}")
        elif not space[key].contains(guess.value):
            shown = one_line(repr(guess.value), SHOWN)
            allowed = ", ".join(map(str, space[key].samples()))
            among = "one of" if space[key].choice is not None else "within space, between"
            faults.append(f"{where}.value: {shown}: {among} {one_line(allowed, SHOWN)}")
    return faults


def _each_faults(experiment: Experiment) -> list[str]:
    """What is wrong with ``search.each``: only a choice that every trial has makes equal parts."""
    key, space = experiment.search.each, experiment.space
    if key is None:
        return []
    where = f"search.each: {one_line(key, SHOWN)}"
    if key not in space:
        return [f"{where}: not searched{nearest(key, space)}"]
    choice, faults = space[key].choice, []
    if choice is None or not 2 <= len(choice) <= MOST_VALUES:
        faults.append(f"{where}: must be a choice of 2 to {MOST_VALUES} values")
    if space[key].when:
        faults.append(f"{where}: has a condition; every trial must have the key")
    if experiment.search.stop.stagnation:
        faults.append("search.stop.stagnation: with search.each the budget would not be equal")
    return faults


def _dimension_faults(
    experiment: Experiment, key: str, dimension: Dimension, base: Mapping[str, Any], files: bool
) -> list[str]:
    """What is wrong with one searched key; of several wrong values the first."""
    where = f"space.{one_line(key, SHOWN)}"
    if key.partition(".")[0] not in SEARCHABLE or "." not in key:
        hint = did_you_mean(key, base)
        return [f"{where}: only keys of {', '.join(SEARCHABLE)} can be searched{hint}"]
    if faults := _condition_faults(experiment.space, key, base):
        return faults
    where_it_applies = {other: values[0] for other, values in dimension.conditions.items()}
    for value in dimension.samples():
        if faults := _point_faults(
            experiment, {**where_it_applies, key: value}, f"{where}: ", files
        ):
            break
    return faults


def compare_faults(experiment: Experiment, files: bool) -> list[str]:
    """Settings of ``compare`` that are impossible, or the same as another."""
    faults: list[str] = []
    seen: dict[str, str] = {}
    for name, point in experiment.compare.items():
        if wrong := _point_faults(experiment, point, f"compare.{name}: ", files):
            faults += wrong
            continue
        config = config_at(experiment, point)
        same = seen.setdefault(digest(config.identity() if files else config.dump()), name)
        if same != name:
            faults.append(f"compare.{name}: the same setting as compare.{same}")
    return faults


def _point_faults(
    experiment: Experiment, point: Mapping[str, Any], where: str, files: bool
) -> list[str]:
    faults: list[str] = []
    with collecting(faults):
        config = config_at(experiment, point)
        for _, path in setting_paths({"model": config.model.model_dump()}) if files else ():
            check_weights_file(path)
    return [f"{where}{fault}" for fault in faults]


def _condition_faults(
    space: Mapping[str, Dimension], key: str, base: Mapping[str, Any]
) -> list[str]:
    """Conditions that name no key decided before the conditional one, or that never hold."""
    faults = []
    before = list(space)[: list(space).index(key)]
    for other, values in space[key].conditions.items():
        where = f"space.{one_line(key, SHOWN)}.when.{one_line(other, SHOWN)}"
        searched = other in space
        if searched and other not in before:
            faults.append(f"{where}: searched too; write it before {one_line(key, SHOWN)}")
        elif not searched and other not in base:
            faults.append(f"{where}: no such key{nearest(other, base)}")
        elif not values:
            faults.append(f"{where}: []: a value, or a list of at least one")
        else:
            found = "what is searched" if searched else base[other]
            faults += [
                f"{where}: {one_line(repr(value), SHOWN)}: never so, it is {found}"
                for value in values
                if not (space[other].contains(value) if searched else value == base[other])
            ]
    return faults

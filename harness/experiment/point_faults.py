"""What is wrong with the points of an experiment's space, and with its compared settings."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from harness.experiment.carried_paths import setting_paths
from harness.experiment.config import Experiment, digest
from harness.experiment.configs import CORNERS, config_at, corners
from harness.experiment.section import SHOWN, collecting, nearest
from harness.experiment.space import SEARCHABLE, Dimension
from saat.errors import did_you_mean, one_line
from saat.model_source import check_weights_file


def space_faults(experiment: Experiment, files: bool) -> list[str]:
    """What is wrong with points that can be suggested, as far as the ends of ranges tell.

    ``files`` says whether files of weights are looked at.
    """
    space, base = experiment.space, experiment.config.flat()
    if faults := _point_faults(experiment, {}, "", files):
        return faults
    faults = [
        fault
        for key, dimension in space.items()
        for fault in _dimension_faults(experiment, key, dimension, base, files)
    ]
    if not faults:
        for point in islice(corners(space, base), CORNERS):
            # Of a combination all its parts are named: each of them alone was allowed.
            parts = " ".join(f"{key}={one_line(value, SHOWN)}" for key, value in point.items())
            if faults := _point_faults(experiment, point, f"space: {parts}", files):
                break
    return faults


def _dimension_faults(
    experiment: Experiment, key: str, dimension: Dimension, base: Mapping[str, Any], files: bool
) -> list[str]:
    """What is wrong with one searched key; of several wrong values the first."""
    if key.partition(".")[0] not in SEARCHABLE or "." not in key:
        hint = did_you_mean(key, base)
        shown = one_line(key, SHOWN)
        return [f"space.{shown}: only keys of {', '.join(SEARCHABLE)} can be searched{hint}"]
    faults = _condition_faults(experiment.space, key, base)
    if faults:
        return faults
    for value in dimension.samples():
        where_it_applies = {other: values[0] for other, values in dimension.conditions.items()}
        point = {**where_it_applies, key: value}
        if faults := _point_faults(experiment, point, f"space.{one_line(key, SHOWN)}", files):
            break
    return faults


def compare_faults(experiment: Experiment, files: bool) -> list[str]:
    """Settings of ``compare`` that are impossible, or the same as another; see above."""
    faults: list[str] = []
    seen: dict[str, str] = {}
    for name, point in experiment.compare.items():
        wrong = _point_faults(experiment, point, f"compare.{name}", files)
        faults += wrong
        if wrong:
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
    return [f"{where}: {fault}" for fault in faults]


def _condition_faults(
    space: Mapping[str, Dimension], key: str, base: Mapping[str, Any]
) -> list[str]:
    """Conditions that name no key decided before the conditional one, or that never hold."""
    faults = []
    before = list(space)[: list(space).index(key)]
    for other, values in space[key].conditions.items():
        where = f"space.{one_line(key, SHOWN)}.when.{one_line(other, SHOWN)}"
        if other in space and other not in before:
            faults.append(f"{where}: searched too; write it before {one_line(key, SHOWN)}")
            continue
        if other not in space and other not in base:
            faults.append(f"{where}: no such key{nearest(other, base)}")
            continue
        if not values:
            faults.append(f"{where}: []: a value, or a list of at least one")
        for value in values:
            searched = other in space
            if not (space[other].contains(value) if searched else value == base[other]):
                found = "what is searched" if searched else base[other]
                faults.append(f"{where}: {one_line(repr(value), SHOWN)}: never so, it is {found}")
    return faults

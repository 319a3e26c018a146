"""Paths that experiments and settings carry: the keys whose values name files and folders."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from harness.experiment.config import Experiment

_KEYS = (("data", "path"), ("data", "root"), ("model", "weights"))
_NO_FILES = ("none", "imagenet")  # of ``model.weights``


class CarriedPath(NamedTuple):
    """A path, and the dotted key whose value it is."""

    key: str
    path: str


def setting_paths(config: Mapping[str, Any]) -> Iterator[CarriedPath]:
    """The paths of a setting, or of the sections of an experiment file."""
    for section, name in _KEYS:
        part = config.get(section)
        if isinstance(part, Mapping):
            yield from _path(f"{section}.{name}", part.get(name))


def experiment_paths(experiment: Experiment) -> Iterator[CarriedPath]:
    """The paths of all settings that an experiment can lead to, searched and compared ones too."""
    yield from setting_paths(experiment.config.dump())
    for name, point in experiment.compare.items():
        yield from _path(f"compare.{name}.model.weights", point.get("model.weights"))
    searched = experiment.space.get("model.weights")
    for value in searched.samples() if searched else []:
        yield from _path("space.model.weights", value)


def _path(key: str, value: object) -> Iterator[CarriedPath]:
    is_word = key.endswith(".weights") and value in _NO_FILES
    if isinstance(value, str) and value and not is_word:
        yield CarriedPath(key, value)

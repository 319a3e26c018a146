"""The smallest and the largest value that a key of a setting may have, whatever the space."""

import math
from collections.abc import Iterator

from harness.catalogue import Option, catalogue
from harness.experiment.config import Experiment
from harness.experiment.sections import ModelSection


def key_limits(experiment: Experiment) -> dict[str, tuple[float, float]]:
    """Dotted key → (smallest, largest), of every key that is a number.

    Where the defense itself is searched, a key has the limits that all of its methods allow.
    """
    methods = {experiment.config.method, *_searched_methods(experiment)} - {"none"}
    found: dict[str, tuple[float, float]] = dict(_of_model())
    options = [("pretrain", option) for option in catalogue().pretrain]
    for method in sorted(methods):
        options += [("defense", option) for option in catalogue().defenses[method].usable().options]
    for section, option in options:
        key = f"{section}.{option.key}"
        low, high = found.get(key, (-math.inf, math.inf))
        if bounds := _bounds(option):
            found[key] = max(low, bounds[0]), min(high, bounds[1])
    return found


def _searched_methods(experiment: Experiment) -> list[str]:
    searched = experiment.space.get("defense.method")
    return [str(value) for value in searched.choice or ()] if searched else []


def _of_model() -> Iterator[tuple[str, tuple[float, float]]]:
    for name, field in ModelSection.model_fields.items():
        bounds = [getattr(found, side) for side in ("ge", "le") for found in field.metadata
                  if hasattr(found, side)]  # fmt: skip
        if len(bounds) == 2:
            yield f"model.{name}", (bounds[0], bounds[1])


def _bounds(option: Option) -> tuple[float, float] | None:
    if not {"int", "float"} & set(option.kinds):
        return None
    return option.bounds.get("ge", -math.inf), option.bounds.get("le", math.inf)

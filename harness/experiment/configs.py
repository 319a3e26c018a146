"""Settings that an experiment can lead to, by point of its space."""

import math
from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any

from harness.catalogue import catalogue
from harness.experiment.config import METHODS, Experiment, TrialConfig
from harness.experiment.section import SHOWN, Section, collecting, parsed
from harness.experiment.sections import MOST_BITS, defense_model
from harness.experiment.space import SEARCHABLE
from saat.errors import InputError, one_line
from saat.metrics import OBJECTIVES

_CORNERS = 1024  # combinations of choices that are tried before a search starts


def config_at(experiment: Experiment, point: Mapping[str, Any]) -> TrialConfig:
    """The setting of a search point: the experiment's own with ``point``'s dotted keys replaced.

    Only the sections that ``point`` changes are validated. Another ``defense.method`` starts from
    its own published defaults: a learning rate of one method means nothing for another.

    Raises:
        InputError: a value that the key does not allow.
    """
    own = experiment.config
    parts: dict[str, Section] = {name: getattr(own, name) for name in SEARCHABLE}
    method = point.get("defense.method", own.method)
    if method != own.method and method in METHODS:
        parts["defense"] = defense_model(method)()
    faults: list[str] = []
    changed: dict[str, dict[str, Any]] = {}
    for key, value in point.items():
        section, _, name = key.partition(".")
        if key in parts:
            first = next(iter(parts[key].model_dump()))
            faults.append(f"{key}: a whole section; name one of its keys, such as {key}.{first}")
        elif section in parts:
            changed.setdefault(section, parts[section].model_dump())[name] = value
        else:
            shown = one_line(key, SHOWN)
            faults.append(f"{shown}: only keys of {', '.join(SEARCHABLE)} can differ")
    with collecting(faults):
        config = with_sections(own, changed)
    if faults:
        raise InputError(*faults)
    return config


def with_sections(config: TrialConfig, changed: Mapping[str, Mapping[str, Any]]) -> TrialConfig:
    """The setting with other sections, which are validated; the rest is shared with it."""
    if not changed:
        return config
    new = parsed(TrialConfig, {**dict(config), **changed})
    if "model" in changed:
        check_model(new)
    return new


def check_model(config: TrialConfig) -> None:
    """Raise InputError for a model that cannot be built; a file of weights is not looked at."""
    model = config.model
    catalogue().hashing[model.hashing].usable()
    limits = catalogue().backbones[model.backbone].usable()
    limits.check(model.backbone, model.weights, config.data.image_size)


def longest_training(experiment: Experiment) -> int:
    """Epochs of a sampled trial that reaches its end; the most where they differ."""
    keys = ("defense.method", "defense.epochs")
    points = {
        tuple((key, point[key]) for key in keys if key in point) for point in corners(experiment)
    }
    configs = (config_at(experiment, dict(point)) for point in points)
    return max(config.epochs for config in configs)


def undefended(config: TrialConfig) -> TrialConfig:
    """The same pretrained model without a defense."""
    return with_sections(config, {"defense": {"method": "none"}})


def corners(experiment: Experiment) -> Iterator[dict[str, Any]]:
    """Points of each combination of choices, with all ranges at their lower, then upper ends.

    Of very many combinations they are the first 1024.
    """
    space, base = experiment.space, experiment.config.flat()
    choices = {key: d.samples() for key, d in space.items() if d.choice is not None}
    for chosen in islice(product(*choices.values(), (0, -1)), _CORNERS):
        values = dict(zip(choices, chosen, strict=False))
        point: dict[str, Any] = {}
        for key, dimension in space.items():
            if dimension.applies({**base, **point}):
                point[key] = values.get(key, dimension.samples()[chosen[-1]])
        yield point


def varied_keys(experiment: Experiment) -> list[str]:
    """The keys in which a run's settings differ, the code length first."""
    compared = (key for point in experiment.compare.values() for key in point)
    keys = dict.fromkeys((*experiment.space, *compared))
    return sorted(keys, key=lambda key: key != "model.bits")


def headline_metrics(experiment: Experiment) -> tuple[str, ...]:
    """Plain names of clean and robust MAP, and of further objectives."""
    return tuple(dict.fromkeys((*OBJECTIVES, *experiment.aims.names)))


def key_limits(experiment: Experiment) -> dict[str, tuple[float, float]]:
    """Dotted key → (smallest, largest) whatever the space, of every key that is a number.

    Where the defense itself is searched, a key has the limits that all of its methods allow.
    """
    searched = experiment.space.get("defense.method")
    methods = {experiment.config.method, *((searched.choice or ()) if searched else ())}
    sections = [("pretrain", catalogue().pretrain)]
    for method in sorted(map(str, methods - {"none"})):
        sections.append(("defense", catalogue().defenses[method].usable().options))
    found: dict[str, tuple[float, float]] = {"model.bits": (1, MOST_BITS)}
    for section, options in sections:
        for option in options:
            if {"int", "float"} & set(option.kinds):
                key = f"{section}.{option.key}"
                low, high = found.get(key, (-math.inf, math.inf))
                least, most = option.bounds.get("ge", low), option.bounds.get("le", high)
                found[key] = max(low, least), min(high, most)
    return found

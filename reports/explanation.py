"""What a search's model says of its result: partial dependence, and a path to each setting.

The model needs the sampler's libraries, which reports do without. So the harness computes it
(:func:`harness.search.explanation.search_explanation`) when it writes the tables of a run, and
stores it in the run's folder as ``explanation.json``.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from reports.checksums import read_json, with_checksum
from saat.atomic_files import replacing
from saat.errors import InputError, one_line

FILE = "explanation.json"
VERSION = 1  # of what the numbers mean
_Z = 1.96  # deviations of a 95 % interval


class Estimate(NamedTuple):
    """A number that the model predicts, with the deviation of its error; in the metric's unit."""

    mean: float
    deviation: float

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.mean - _Z * self.deviation

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.mean + _Z * self.deviation


@dataclass(frozen=True)
class Dependence:
    """A metric as a function of one searched key, averaged over the other keys of the trials.

    Attributes:
        key: such as ``defense.lambda``.
        metric: plain name.
        values: of the key: numbers in ascending order, or the words of a choice.
        estimates: one a value.
        settings: number of settings that were averaged over.
    """

    key: str
    metric: str
    values: Sequence[Any]
    estimates: Sequence[Estimate]
    settings: int


@dataclass(frozen=True)
class PathStep:
    """A setting on a path.

    Attributes:
        changed: key → (value before, value now), of what differs from the step before; None where
            the key does not apply.
        predicted: metric → what the model predicts.
        measured: metric → value, if a trial has the setting; else empty.
    """

    changed: Mapping[str, tuple[Any, Any]]
    predicted: Mapping[str, Estimate]
    measured: Mapping[str, float]


@dataclass(frozen=True)
class AblationPath:
    """From the paper's default to a recommended setting, one changed key at a time.

    Attributes:
        config_hash: of the recommended setting.
        steps: the default, then a setting after each change; the last is the recommended one.
        left_out: keys in which both ends differ although the search did not vary them.
    """

    config_hash: str
    steps: Sequence[PathStep]
    left_out: Sequence[str] = ()


@dataclass(frozen=True)
class Explanation:
    """What the model of a search says.

    Attributes:
        trials: completed explore trials that it learned from, and the recommended ones.
        dependence: for each searched key and each of clean and robust MAP.
        paths: one for each recommended setting, in the order of choice.
        missing: why there is nothing, in words; empty if there is something.
    """

    trials: Sequence[str]
    dependence: Sequence[Dependence] = ()
    paths: Sequence[AblationPath] = ()
    missing: str = ""
    version: int = field(default=VERSION)


def write_explanation(run_dir: Path, found: Explanation) -> None:
    """Replace ``explanation.json`` of a run."""
    with replacing(run_dir / FILE) as temporary:
        text = json.dumps(with_checksum(asdict(found)), ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_explanation(run_dir: Path) -> Explanation | None:
    """The explanation in a run's folder; None if it has none of this version.

    Raises:
        InputError: the file is damaged.
    """
    path = run_dir / FILE
    if not os.path.lexists(path):
        return None
    content = read_json(path)
    if content.get("version") != VERSION:
        return None
    try:
        return Explanation(
            trials=tuple(map(_text, content["trials"])),
            dependence=tuple(map(_dependence, content["dependence"])),
            paths=tuple(map(_path, content["paths"])),
            missing=_text(content["missing"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: damaged: {one_line(error, 120)}") from None


def _dependence(content: Mapping[str, Any]) -> Dependence:
    values = tuple(map(_value, content["values"]))
    estimates = tuple(map(_estimate, content["estimates"]))
    if len(values) != len(estimates):
        raise ValueError("as many estimates as values belong to a key")
    names = _text(content["key"]), _text(content["metric"])
    return Dependence(*names, values, estimates, int(content["settings"]))


def _path(content: Mapping[str, Any]) -> AblationPath:
    steps = tuple(map(_step, content["steps"]))
    if len(steps) < 2:
        raise ValueError("a path has two ends")
    left_out = tuple(map(_text, content["left_out"]))
    return AblationPath(_text(content["config_hash"]), steps, left_out)


def _step(content: Mapping[str, Any]) -> PathStep:
    changed = {}
    for key, (before, now) in content["changed"].items():
        changed[key] = _value(before), _value(now)
    return PathStep(
        changed,
        {name: _estimate(given) for name, given in content["predicted"].items()},
        {name: _number(given) for name, given in content["measured"].items()},
    )


def _estimate(content: Sequence[Any]) -> Estimate:
    mean, deviation = map(_number, content)
    if deviation < 0:
        raise ValueError("a deviation is below 0")
    return Estimate(mean, deviation)


def _number(content: Any) -> float:
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise TypeError("not a number")
    if not math.isfinite(content):
        raise ValueError("not a finite number")
    return float(content)


def _value(content: Any) -> Any:
    if content is not None and not isinstance(content, bool | int | float | str):
        raise TypeError("not a value of a key")
    return content


def _text(content: Any) -> str:
    if not isinstance(content, str):
        raise TypeError("not text")
    return content

"""What a search says of its keys: partial dependence, a path to each setting, importance.

The model needs the sampler's libraries, which reports do without. So the harness computes it
(:func:`harness.search.explanation.search_explanation`) when it writes the tables of a run, and
stores it in the run's folder as ``explanation.json``.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, FiniteFloat, TypeAdapter

from reports.checksums import read_json, with_checksum
from saat.atomic_files import replacing
from saat.errors import InputError, one_line

FILE = "explanation.json"
VERSION = 1  # of what the numbers mean
_Z = 1.96  # deviations of a 95 % interval
Value = bool | int | float | str | None  # of a key; None where the key does not apply


class KeyImportance(NamedTuple):
    """The share that a key has of the importance of all keys, from 0 to 1.

    A sampler's library measures it (:func:`harness.search.importance.key_importances`). A search
    hands it over, and it is not stored.
    """

    key: str  # such as ``defense.lambda``
    objective: str  # plain name of the metric
    share: float
    low: float  # 10 % and 90 % quantiles over resamples of the trials
    high: float


class Estimate(NamedTuple):
    """A number that the model predicts, with the deviation of its error; in the metric's unit."""

    mean: FiniteFloat
    deviation: Annotated[FiniteFloat, Field(ge=0)]

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
    values: Sequence[Value]
    estimates: Sequence[Estimate]
    settings: int

    def __post_init__(self) -> None:
        if len(self.values) != len(self.estimates):
            raise ValueError("as many estimates as values belong to a key")


@dataclass(frozen=True)
class PathStep:
    """A setting on a path.

    Attributes:
        changed: key → (value before, value now), of what differs from the step before.
        predicted: metric → what the model predicts.
        measured: metric → value, if a trial has the setting; else empty.
    """

    changed: Mapping[str, tuple[Value, Value]]
    predicted: Mapping[str, Estimate]
    measured: Mapping[str, FiniteFloat]


@dataclass(frozen=True)
class AblationPath:
    """From the paper's default to a recommended setting, one changed key at a time.

    Attributes:
        config_hash: of the recommended setting.
        steps: the default, then a setting after each change; the last is the recommended one.
        left_out: keys in which both ends differ although the search did not vary them.
    """

    config_hash: str
    steps: Annotated[Sequence[PathStep], Field(min_length=2)]
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
    version: int = VERSION


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
        return TypeAdapter(Explanation).validate_json(json.dumps(content), strict=True)
    except ValueError as error:
        raise InputError(f"{path}: damaged: {one_line(error, 120)}") from None

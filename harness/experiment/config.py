"""A whole experiment file, and the one setting that a trial trains: resolved once, hashed."""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from harness.experiment.resources import ResourcesSection
from harness.experiment.sections import (
    PRETRAIN_MODEL,
    ConfirmSection,
    Constraint,
    DataSection,
    EvaluationSection,
    ModelSection,
    SearchSection,
    Section,
    ValidationSection,
    defense_model,
)
from harness.experiment.space import Dimension
from saat.attacks import ATTACKS
from saat.defenses import DEFENSES
from saat.errors import InputError, one_line

SCHEMA_VERSION = 1
OBJECTIVE_NAMES = ("val/clean_map", "val/robust_map")
# What a trial can be within a search; the settings of a comparison have names of their own.
ROLES = ("default", "sampled", "recommended", "undefended", "train")
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_METHODS = ("none", *DEFENSES)


class Setting(Section):
    """One point: everything that decides what a trial trains, but for its seed."""

    data: DataSection
    model: ModelSection = ModelSection()
    pretrain: Section
    defense: Section

    @model_validator(mode="before")
    @classmethod
    def _typed_sections(cls, values: Any) -> Any:
        return typed_sections(values)

    def flat(self) -> dict[str, Any]:
        """``{"model.bits": 32, "defense.lambda": 1.0, …}`` without the data section."""
        dump = self.dump()
        return {
            f"{section}.{key}": value
            for section in ("model", "pretrain", "defense")
            for key, value in dump[section].items()
        }

    def identity(self) -> dict[str, dict[str, Any]]:
        """What the setting is, wherever its files lie: weights by content, without the data."""
        out = {key: part for key, part in self.dump().items() if key != "data"}
        weights = self.model.weights
        if weights not in ("none", "imagenet"):
            stat = Path(weights).stat()
            version = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size)
            out["model"]["weights"] = _content(weights, version)
        return out

    def dump(self) -> dict[str, dict[str, Any]]:
        """JSON-able, every default filled in."""
        return {
            section: getattr(self, section).model_dump(mode="json")
            for section in ("data", "model", "pretrain", "defense")
        }


def typed_sections(values: Any) -> Any:
    """Give ``pretrain`` and ``defense`` the model of their method before validation."""
    if not isinstance(values, Mapping):
        return values
    out = dict(values)
    pretrain = out.get("pretrain", {})
    if isinstance(pretrain, Mapping):
        out["pretrain"] = PRETRAIN_MODEL.model_validate(pretrain)
    defense = out.get("defense", {})
    if isinstance(defense, Mapping):
        method = defense.get("method", "saat")
        if method not in _METHODS:
            raise InputError(
                f"defense.method: {one_line(method, 60)}: one of {', '.join(_METHODS)}"
            )
        out["defense"] = defense_model(method).model_validate({**defense, "method": method})
    return out


class Experiment(Section):
    """A whole experiment file, resolved."""

    schema_version: Literal[1]
    name: str = Field(pattern=NAME_PATTERN)
    seed: int = Field(0, ge=0)
    data: DataSection
    model: ModelSection = ModelSection()
    pretrain: Section
    defense: Section
    space: dict[str, Dimension] = Field(default_factory=dict)
    compare: dict[str, dict[str, Any]] = Field(default_factory=dict)
    objectives: dict[Literal[OBJECTIVE_NAMES], Literal["max"]] = Field(  # type: ignore[valid-type]
        {"val/clean_map": "max", "val/robust_map": "max"}, min_length=2
    )
    constraints: dict[Literal[OBJECTIVE_NAMES], Constraint] = Field(default_factory=dict)  # type: ignore[valid-type]
    search: SearchSection = SearchSection()
    confirm: ConfirmSection = ConfirmSection()
    validation: ValidationSection = ValidationSection()
    evaluation: EvaluationSection = EvaluationSection()
    resources: ResourcesSection = ResourcesSection()

    @model_validator(mode="after")
    def _robust_map_is_defined(self) -> "Experiment":
        names = self.evaluation.attacks
        if all(ATTACKS[name].targeted for name in names):
            untargeted = ", ".join(n for n, attack in ATTACKS.items() if not attack.targeted)
            raise ValueError(
                f"evaluation.attacks: {', '.join(names)}: all targeted; robust MAP needs at least "
                f"one of {untargeted}"
            )
        return self

    @model_validator(mode="after")
    def _names_of_compared_settings(self) -> "Experiment":
        for name in self.compare:
            if not re.fullmatch(r"[\w][\w .+()=-]{0,47}", name) or name in ROLES:
                raise ValueError(
                    f"compare.{name}: a name of up to 48 letters, digits, spaces and .+()=-, "
                    f"other than {', '.join(ROLES)}"
                )
        return self

    def dump(self) -> dict[str, Any]:
        """JSON-able, every default filled in; loads to the same experiment."""
        out = self.model_dump(mode="json", exclude={"space", "pretrain", "defense"})
        out["pretrain"] = self.pretrain.model_dump(mode="json")
        out["defense"] = self.defense.model_dump(mode="json")
        out["space"] = {
            key: dimension.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for key, dimension in self.space.items()
        }
        return out


@lru_cache(maxsize=16)
def _content(path: str, version: tuple[int, ...]) -> str:
    """SHA-256 of a file; times and size only tell a changed file from a known one."""
    del version
    with Path(path).open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

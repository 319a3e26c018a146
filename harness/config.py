"""Experiment files: strict models, resolved once, with one-line errors.

A section that belongs to a method (``pretrain``, ``defense``) is built from the settings
dataclass of that method in ``saat``, bounds included, so a new method brings its options along.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache, lru_cache, reduce
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    model_validator,
)

from harness.space import Dimension
from saat.attacks import ATTACKS
from saat.battery import BATTERIES
from saat.data import source_problem
from saat.defenses import DEFENSES
from saat.errors import InputError, one_line
from saat.hashing import OBJECTIVES
from saat.models import BACKBONES
from saat.pretrain import PretrainSettings
from saat.retrieval import Ties
from saat.settings import file_key, option_fields
from saat.threat_model import Norm

SCHEMA_VERSION = 1
OBJECTIVE_NAMES = ("val/clean_map", "val/robust_map")
# What a trial can be within a search; the settings of a comparison have names of their own.
ROLES = ("default", "sampled", "recommended", "undefended", "train")
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_METHODS = ("none", *DEFENSES)
_LARGEST = 2**53  # above, a table's integers and floats cannot hold a number exactly


def parse_number(value: Any) -> Any:
    """Fractions such as ``8/255`` and ``1e-4`` (a string in YAML) as numbers; the rest as it is."""
    if not isinstance(value, str):
        return value
    numerator, slash, denominator = value.partition("/")
    try:
        return float(numerator) / float(denominator) if slash else float(value)
    except (ValueError, ZeroDivisionError):
        return value


Number = Annotated[float, BeforeValidator(parse_number)]


class Section(BaseModel):
    """A part of an experiment file: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _storable(self) -> "Section":
        for name, value in self:
            if isinstance(value, int) and abs(value) > _LARGEST:
                raise ValueError(f"{name}: {value:.0e}: at most 2**53")
        return self


def _known(registry: Mapping[str, Any], *more: str) -> Any:
    """A string that must name an entry of a registry."""
    return Literal[*more, *registry]


class DataSection(Section):
    """Which images; ``name`` of a known set, or ``path`` of a folder in list format.

    ``root`` is the folder that contains a named set's own folder; without it, the environment
    variable ``SAAT_DATA`` of every process that loads images counts.
    """

    name: str | None = None
    path: str | None = None
    root: str | None = None
    image_size: int = Field(32, ge=8, le=1024)
    val_queries: int = Field(300, ge=1)
    seed: int = Field(0, ge=0)
    resize: Literal["squash", "crop"] = "squash"

    @model_validator(mode="after")
    def _one_source(self) -> "DataSection":
        problem = source_problem(self.name, self.path, self.root)
        if problem is not None:
            raise ValueError(problem)
        return self


class ModelSection(Section):
    """Backbone, its weights, the hashing objective and the code length."""

    backbone: _known(BACKBONES) = "small_cnn"  # type: ignore[valid-type]
    weights: str = "none"
    hashing: _known(OBJECTIVES) = "dph"  # type: ignore[valid-type]
    bits: int = Field(32, ge=1, le=4096)


def settings_model(settings: type[Any], method: str | None = None) -> type[Section]:
    """The file section of a settings dataclass, with the name of its ``method`` if it has one."""
    columns: dict[str, Any] = {} if method is None else {"method": (str, method)}
    for item in option_fields(settings):
        columns[file_key(item)] = (_bounded(item), Field(item.default))
    return create_model(settings.__name__, __base__=Section, **columns)


def _bounded(item: "dataclasses.Field[Any]") -> Any:
    """The field's type with its bounds on the numbers (``auto`` and other words have none)."""
    bounds = Field(**item.metadata.get("bounds", {}))
    is_union = get_origin(item.type) in (Union, UnionType)
    members = get_args(item.type) if is_union else (item.type,)
    kinds = [Annotated[kind, bounds] if kind in (int, float) else kind for kind in members]
    union = reduce(or_, kinds)
    return Annotated[union, BeforeValidator(parse_number)] if float in members else union


def to_settings(settings: type[Any], section: Section) -> Any:
    """A settings dataclass from its validated section."""
    values = {item.name: getattr(section, file_key(item)) for item in option_fields(settings)}
    return settings(**values)


class NoDefense(Section):
    """The undefended, pretrained model."""

    method: Literal["none"] = "none"


PRETRAIN_MODEL = settings_model(PretrainSettings)


@cache
def defense_model(method: str) -> type[Section]:
    """The section of a defense."""
    return NoDefense if method == "none" else settings_model(DEFENSES[method].settings, method)


class SearchSection(Section):
    """How the space is explored."""

    num_samples: int = Field(12, ge=0)
    sampler: Literal["tpe", "nsga2", "gp", "random"] = "tpe"
    scheduler: Literal["pareto_asha", "none"] = "pareto_asha"
    grace_period: int = Field(1, ge=1)
    reduction_factor: int = Field(3, ge=2)
    max_concurrent: int | Literal["auto"] = "auto"

    @model_validator(mode="after")
    def _positive(self) -> "SearchSection":
        if self.max_concurrent != "auto" and self.max_concurrent < 1:
            raise ValueError(f"max_concurrent: {self.max_concurrent}: at least 1, or auto")
        return self


class ConfirmSection(Section):
    """Which settings are trained again, on test queries, under fresh seeds."""

    max_configs: int = Field(2, ge=0)
    seeds: int = Field(3, ge=1, le=1000)
    undefended: bool = True
    battery: _known(BATTERIES, "none") = "core"  # type: ignore[valid-type]


class ValidationSection(Section):
    """The short, fixed attack after every epoch, on validation queries."""

    attack: Literal["mainstay"] = "mainstay"
    eps: Number = Field(8 / 255, ge=0, le=1)
    steps: int = Field(10, ge=1)
    queries: int = Field(200, ge=1)


class EvaluationSection(Section):
    """The full protocol, the same for every trial; its ball is not searched."""

    top_k: int = Field(5000, ge=1)
    ties: Ties = "expected"
    norm: Norm = "linf"
    eps: Number = Field(8 / 255, ge=0)
    steps: int = Field(100, ge=1)
    attacks: list[_known(ATTACKS)] = Field(["mainstay", "hag"], min_length=1)  # type: ignore[valid-type]
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    target_seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> "EvaluationSection":
        twice = [name for name in self.attacks if self.attacks.count(name) > 1]
        if twice:
            raise ValueError(f"attacks: {twice[0]} is named twice")
        if self.norm == "linf" and self.eps > 1:
            raise ValueError(f"eps: {self.eps:g}: at most 1 where norm is linf")
        for name, options in self.options.items():
            if name not in self.attacks:
                raise ValueError(f"options.{name}: not among attacks ({', '.join(self.attacks)})")
            _attack_options(name, options)
        return self


def _attack_options(name: str, options: Mapping[str, Any]) -> None:
    """Check the options of one attack against its own fields."""
    model = settings_model(ATTACKS[name])
    unknown = [key for key in options if key not in model.model_fields]
    if unknown:
        known = ", ".join(model.model_fields)
        raise ValueError(f"options.{name}.{unknown[0]}: no such option; {known}")
    try:
        model.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"options.{name}.{first['loc'][0]}: {first['msg']}") from None


class ResourcesSection(Section):
    """What one trial asks of its node."""

    cpus_per_trial: int = Field(1, ge=1)
    gpus_per_trial: Number = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _whole_gpus(self) -> "ResourcesSection":
        if self.gpus_per_trial > 1 and self.gpus_per_trial != int(self.gpus_per_trial):
            raise ValueError("gpus_per_trial: a fraction up to 1, or a whole number")
        return self


class Constraint(Section):
    """A floor for an objective; settings below it are never recommended."""

    at_least: Number = Field(ge=0, le=1)


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
            out["model"]["weights"] = _content(weights, stat.st_mtime_ns, stat.st_size)
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
def _content(path: str, mtime_ns: int, size: int) -> str:
    """SHA-256 of a file; time and size only tell a changed file from a known one."""
    del mtime_ns, size
    with Path(path).open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

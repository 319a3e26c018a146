"""A whole experiment file, and the one setting that a trial trains: resolved once, hashed."""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator

from harness.catalogue import catalogue
from harness.experiment.aims_section import Constraints, Objectives, file_key
from harness.experiment.search_section import SearchSection
from harness.experiment.section import SHOWN, Section, parsed
from harness.experiment.sections import (
    PRETRAIN_MODEL,
    ConfirmSection,
    DataSection,
    EvaluationSection,
    ModelSection,
    ResourcesSection,
    ValidationSection,
    defense_model,
)
from harness.experiment.space import Dimension
from harness.limits import LARGEST
from saat.errors import InputError, did_you_mean, one_line
from saat.feasibility import Aims
from saat.metrics import OBJECTIVES

# What a trial can be within a search; the settings of a comparison have names of their own.
ROLES = ("default", "sampled", "recommended", "undefended", "train")
# What lies beside the runs in their folder. SQLite's own files begin with mlflow.db.
RESERVED_NAMES = ("mlflow.db", "mlartifacts", "pretrained")
METHODS = ("none", *catalogue().defenses)
DEFAULT_METHOD = "saat"  # where the file names none


def _defense_section(given: Any) -> Any:
    """The section of the method that it names; what is no mapping is left to pydantic."""
    if not isinstance(given, Mapping):
        return given
    method = given.get("method", DEFAULT_METHOD)
    if method not in METHODS:
        hint = did_you_mean(method, METHODS)
        shown = one_line(method, SHOWN)
        raise InputError(f"method: {shown}: one of {', '.join(METHODS)}{hint}")
    return parsed(defense_model(method), {**given, "method": method})


# Which model the section has depends on its method, so a validator of ours chooses it.
DefenseSection = Annotated[SerializeAsAny[Section], BeforeValidator(_defense_section)]


class TrialConfig(Section):
    """One point: everything that decides what a trial trains, but for its seed."""

    data: DataSection
    model: ModelSection = ModelSection()
    pretrain: PRETRAIN_MODEL = PRETRAIN_MODEL()  # type: ignore[valid-type]
    defense: DefenseSection = defense_model(DEFAULT_METHOD)()

    @property
    def method(self) -> str:
        """The defense: a name of :data:`METHODS`."""
        return str(self.defense.method)  # type: ignore[attr-defined]

    @property
    def epochs(self) -> int:
        """Epochs of the defense; 0 without one."""
        return int(getattr(self.defense, "epochs", 0))

    def __reduce__(self) -> tuple[Any, ...]:
        # Sections are made from the catalogue, and pickle finds no class of theirs.
        return type(self).model_validate_json, (self.model_dump_json(),)

    def flat(self) -> dict[str, Any]:
        """``{"model.bits": 32, "defense.lambda": 1.0, …}`` without the data section."""
        dump = self.dump()
        return {
            f"{section}.{key}": value
            for section in ("model", "pretrain", "defense")
            for key, value in dump[section].items()
        }

    @property
    def unset_later(self) -> tuple[str, ...]:
        """Dotted keys of options that its method got later, and that are at their defaults."""
        if self.method == "none":
            return ()
        options = catalogue().defenses[self.method].usable().options
        return tuple(
            f"defense.{option.key}"
            for option in options
            if option.later and getattr(self.defense, option.key) == option.default
        )

    def identity(self) -> dict[str, dict[str, Any]]:
        """What the setting is, wherever its files lie: weights by content, without the data.

        Options that a method got later are left out at their defaults, so that settings that were
        stored before have the identity that they had.
        """
        out = {key: part for key, part in self.dump().items() if key != "data"}
        for key in self.unset_later:
            section, _, name = key.partition(".")
            del out[section][name]
        weights = self.model.weights
        if weights not in ("none", "imagenet"):
            stat = Path(weights).stat()
            version = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size)
            out["model"]["weights"] = _content(weights, version)
        return out

    def dump(self) -> dict[str, dict[str, Any]]:
        """JSON-able, every default filled in."""
        return self.model_dump(mode="json")


class Experiment(Section):
    """A whole experiment file, resolved."""

    schema_version: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    seed: int = Field(0, ge=0, le=LARGEST)
    data: DataSection
    model: ModelSection = ModelSection()
    pretrain: PRETRAIN_MODEL = PRETRAIN_MODEL()  # type: ignore[valid-type]
    defense: DefenseSection = defense_model(DEFAULT_METHOD)()
    space: dict[str, Dimension] = Field(default_factory=dict)
    compare: dict[str, dict[str, Any]] = Field({}, max_length=1000)
    objectives: Objectives = Field(dict.fromkeys(map(file_key, OBJECTIVES), "max"))
    constraints: Constraints = Field(default_factory=dict)
    search: SearchSection = SearchSection()
    confirm: ConfirmSection = ConfirmSection()
    validation: ValidationSection = ValidationSection()
    evaluation: EvaluationSection = EvaluationSection()
    resources: ResourcesSection = ResourcesSection()

    @cached_property
    def aims(self) -> Aims:
        """What a search is after: objectives, constraints, preference."""
        return Aims.of(self.dump())

    @cached_property
    def config(self) -> TrialConfig:
        """The file's own setting."""
        return TrialConfig.model_construct(
            data=self.data, model=self.model, pretrain=self.pretrain, defense=self.defense
        )

    @field_validator("name")
    @classmethod
    def _names_a_folder_of_its_own(cls, name: str) -> str:
        # Lower case: some file systems do not tell the two apart.
        taken = next((own for own in RESERVED_NAMES if name.lower().startswith(own)), "")
        if name.lower() == taken or taken == "mlflow.db":
            raise ValueError(f"{taken} is what saat itself has in a folder of runs; another name")
        if name.endswith("."):
            raise ValueError("ends with a dot, which not every system keeps; another name")
        return name

    @property
    def planned_samples(self) -> int:
        """Sampled settings of the whole search: ``search.num_samples`` of each value of a key."""
        each = self.search.each
        values = 1 if each is None else len(self.space[each].choice or ())
        return self.search.num_samples * values

    def dump(self) -> dict[str, Any]:
        """JSON-able, every default filled in; loads to the same experiment."""
        out = self.model_dump(mode="json", exclude={"space"})
        out["space"] = {key: dimension.dump() for key, dimension in self.space.items()}
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

"""The sections of an experiment file: strict models, with bounds and no silent conversions.

A section that belongs to a method (``pretrain``, ``defense``, the options of an attack) is built
from the options that the method's settings dataclass in ``saat`` declares, bounds included, so a
new method brings its options along. They are read from the catalogue, without importing torch.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from harness.catalogue import Dataset, Option, catalogue
from harness.experiment.section import (
    SHOWN,
    Number,
    Section,
    collecting,
    name_of,
    parse_number,
    parsed,
)
from harness.limits import LARGEST, MOST_EPOCHS, MOST_QUERIES, MOST_STEPS
from saat.compute import AskedPrecision, Compile
from saat.data_source import source_problem
from saat.errors import InputError, did_you_mean, one_line, repeated
from saat.precision import Precision
from saat.protocol_options import LARGEST_EPS, Norm, Ties
from saat.settings import file_key, option_fields

MOST_BITS = 4096


def usable_datasets() -> dict[str, Dataset]:
    """Every data set that can be used, by its name."""
    return {name: entry.facts for name, entry in catalogue().datasets.items() if entry.facts}


class DataSection(Section):
    """Which images; ``name`` of a known set, or ``path`` of a folder in list format.

    ``root`` is the folder that contains a named set's own folder; without it, the environment
    variable ``SAAT_DATA`` of every process that loads images counts.
    """

    name: str | None = None
    path: str | None = None
    root: str | None = None
    image_size: int = Field(32, ge=8, le=1024)
    val_queries: int = Field(300, ge=1, le=MOST_QUERIES)
    seed: int = Field(0, ge=0, le=LARGEST)
    resize: Literal["squash", "crop"] = "squash"

    @model_validator(mode="after")
    def _one_source(self) -> "DataSection":
        known = catalogue().datasets.get(self.name or "")
        if known and known.problem:
            raise ValueError(known.problem)
        if problem := source_problem(self.name, self.path, self.root, usable_datasets()):
            raise ValueError(problem)
        return self


class ModelSection(Section):
    """Backbone, its weights, the hashing objective and the code length."""

    backbone: name_of(catalogue().backbones) = "small_cnn"  # type: ignore[valid-type]
    weights: str = "none"
    hashing: name_of(catalogue().hashing) = "dph"  # type: ignore[valid-type]
    bits: int = Field(32, ge=1, le=MOST_BITS)


def settings_model(options: Sequence[Option], method: str | None = None) -> type[Section]:
    """The file section with these options; ``method`` is the name of the method they belong to."""
    keys: dict[str, Any] = {} if method is None else {"method": (str, method)}
    keys |= {option.key: (_type_of(option), option.default) for option in options}
    return create_model("Settings", __base__=Section, **keys)


_KINDS: dict[str, Any] = {"bool": bool, "int": int, "float": float, "str": str, "NoneType": None}


def _type_of(option: Option) -> Any:
    """The option's type with its bounds on the numbers (``auto`` and other words have none)."""
    bounds = Field(ge=option.bounds.get("ge"), le=option.bounds.get("le"))
    members = [
        Annotated[_KINDS[kind], bounds] if kind in ("int", "float") else _KINDS[kind]
        for kind in option.kinds
    ]
    members += [Literal[*option.words]] if option.words else []
    union = reduce(or_, members)
    return Annotated[union, BeforeValidator(parse_number)] if "float" in option.kinds else union


def to_settings(settings: type[Any], section: Section) -> Any:
    """A settings dataclass from its validated section."""
    values = {item.name: getattr(section, file_key(item)) for item in option_fields(settings)}
    return settings(**values)


PRETRAIN_MODEL = settings_model(catalogue().pretrain)


@cache
def defense_model(method: str) -> type[Section]:
    """The section of a defense; raises InputError where that of another package is unusable.

    ``none`` is the undefended, pretrained model, and has no options.
    """
    options = () if method == "none" else catalogue().defenses[method].usable().options
    return settings_model(options, method)


@cache
def _attack_model(name: str) -> type[Section]:
    return settings_model(catalogue().attacks[name].usable().options)


class ConfirmSection(Section):
    """Which settings are trained again, on test queries, under fresh seeds."""

    max_configs: int = Field(2, ge=0, le=1000)
    seeds: int = Field(3, ge=1, le=1000)
    undefended: bool = True
    battery: name_of(catalogue().batteries) = "core"  # type: ignore[valid-type]


_AUTO_ROWS = 20_000  # chosen in docs/results/validation.md


class ValidationSection(Section):
    """The short, fixed attack after every ``every``-th epoch, on validation queries.

    They search a fixed part of the database: ``database`` rows. ``all`` is the whole of it, and the
    training set is encoded anew as well.
    """

    eps: Number = Field(8 / 255, ge=0, le=1)
    steps: int = Field(10, ge=1, le=MOST_STEPS)
    queries: int = Field(200, ge=1, le=MOST_QUERIES)
    database: Annotated[int, Field(ge=1, le=LARGEST)] | Literal["auto", "all"] = "auto"
    every: int = Field(1, ge=1, le=MOST_EPOCHS)

    def part_of(self, rows: int) -> int:
        """How many of a database's ``rows`` are searched."""
        if self.database == "all":
            return rows
        return min(_AUTO_ROWS if self.database == "auto" else self.database, rows)

    def is_due(self, epoch: int, epochs: int, deciding: Collection[int]) -> bool:
        """Whether an epoch of ``epochs`` is validated: also the last one, and ``deciding`` ones."""
        return epoch % self.every == 0 or epoch == epochs or epoch in deciding

    @model_validator(mode="before")
    @classmethod
    def _has_one_attack(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "attack" in values:
            raise InputError("attack: delete this key; the attack after every epoch is mainstay")
        return values


class EvaluationSection(Section):
    """The full protocol, the same for every trial; its ball is not searched."""

    top_k: int = Field(5000, ge=1, le=1_000_000_000)
    ties: Ties = "expected"
    norm: Norm = "linf"
    eps: Number = Field(8 / 255, ge=0, le=LARGEST_EPS)
    steps: int = Field(100, ge=1, le=MOST_STEPS)
    attacks: list[name_of(catalogue().attacks)] = Field(["mainstay", "hag"], min_length=1)  # type: ignore[valid-type]
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    target_seed: int = Field(0, ge=0, le=LARGEST)
    precision: Precision = "fp32"

    @model_validator(mode="after")
    def _consistent(self) -> "EvaluationSection":
        if twice := repeated(self.attacks):
            raise ValueError(f"attacks: {twice[0]} is named twice")
        if problems := [p for name in self.attacks if (p := catalogue().attacks[name].problem)]:
            raise ValueError(f"attacks: {problems[0]}")
        if self.norm == "linf" and self.eps > 1:
            raise ValueError(f"eps: {self.eps:g}: at most 1 where norm is linf")
        return self

    @field_validator("options")
    @classmethod
    def _of_attacks(
        cls, options: dict[str, dict[str, Any]], info: ValidationInfo
    ) -> dict[str, dict[str, Any]]:
        """Fractions such as ``1/255`` as numbers, which the attacks' own models know."""
        attacks = info.data.get("attacks")
        if attacks is None:  # they are wrong themselves
            return options
        faults: list[str] = []
        checked: dict[str, dict[str, Any]] = {}
        for name, given in options.items():
            if name not in attacks:
                known = f"not among attacks ({', '.join(attacks)})"
                faults.append(f"{one_line(name, SHOWN)}: {known}{did_you_mean(name, attacks)}")
                continue
            with collecting(faults):
                section = parsed(_attack_model(name), given, name)
                # Only texts: the hash of a protocol tells 1 from 1.0.
                checked[name] = {
                    key: getattr(section, key) if isinstance(value, str) else value
                    for key, value in given.items()
                }
        if faults:
            raise InputError(*faults)
        return checked


_LEAST = 1e-4  # of a GPU; Ray counts in ten-thousandths

_Gpus = Annotated[
    Annotated[float, Field(ge=0, le=1024)] | Literal["auto"], BeforeValidator(parse_number)
]


class ResourcesSection(Section):
    """CPUs and GPUs of a trial; ``auto`` GPUs are settled by :mod:`harness.executors.packing`.

    ``precision`` and ``compile`` are those of training (:mod:`saat.compute`).
    """

    cpus_per_trial: int = Field(1, ge=1, le=1024)
    gpus_per_trial: _Gpus = 0.0
    # Between two checkpoints of a stage; 0: after every epoch, before it is reported.
    checkpoint_seconds: Number = Field(60, ge=0, le=86_400)
    precision: AskedPrecision = "auto"
    compile: Compile = "none"

    @model_validator(mode="after")
    def _possible_gpus(self) -> "ResourcesSection":
        gpus = self.gpus_per_trial
        if gpus == "auto":
            return self
        if gpus > 1 and gpus != int(gpus):
            raise ValueError("gpus_per_trial: a fraction up to 1, or a whole number")
        if 0 < gpus < _LEAST:
            raise ValueError(f"gpus_per_trial: {gpus:g}: at least {_LEAST:g}, or 0")
        if not gpus and self.precision == "tf32":
            raise InputError("precision: tf32: only GPUs have it, and gpus_per_trial is 0; fp32")
        if not gpus and self.compile == "graphs":
            raise InputError("compile: graphs: only GPUs have them, and gpus_per_trial is 0; none")
        return self

    @property
    def gpus(self) -> float:
        """GPUs of one trial in numbers; a whole one where ``auto`` is not settled yet."""
        return 1.0 if self.gpus_per_trial == "auto" else self.gpus_per_trial

"""What the registries offer: names, options with their bounds, limits, one line about each.

The modules of the methods import torch, which takes seconds. So a file in the user's cache holds
what commands need to know of them. It is made from the registries, and again when code changes.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Generic, Literal, TypeVar, Union, cast, get_args, get_origin

from pydantic import TypeAdapter

import saat
from harness.files import write_text
from saat.data_source import default_cache_dir
from saat.errors import InputError
from saat.model_source import BackboneLimits
from saat.registry import OWN_PACKAGE, Registry
from saat.settings import file_key, option_fields

Plain = bool | int | float | str | None
Facts = TypeVar("Facts")


@dataclass(frozen=True)
class Option:
    """An option of a method, by its key in experiment files, with the published default."""

    key: str
    default: Plain
    kinds: tuple[Literal["bool", "int", "float", "str", "NoneType"], ...]
    words: tuple[str, ...]  # the texts that its value can be, where these are all
    bounds: dict[str, int | float]  # ``ge`` and ``le`` of a number
    later: bool  # at its default no part of a setting's identity, see saat.settings.option


@dataclass(frozen=True)
class Attack:
    """An attack's side of a protocol; ``version``: see :mod:`saat.versions`."""

    targeted: bool
    version: int
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Defense:
    """A defense's section of an experiment file; ``published``: keys of the paper's default."""

    options: tuple[Option, ...]
    published: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """A named data set; see :class:`saat.data.registry.Dataset`."""

    classes: int
    obtain: str
    folder: str | None


@dataclass(frozen=True)
class Entry(Generic[Facts]):
    """An entry of a registry; ``problem`` says why one of another package cannot be used."""

    package: str  # the distribution that brings it
    description: str
    facts: Facts | None  # what a file is checked against
    problem: str = ""

    def usable(self) -> Facts:
        """The facts; raises InputError where the entry cannot be used."""
        if self.facts is None:
            raise InputError(self.problem)
        return self.facts


@dataclass(frozen=True)
class Catalogue:
    """The entries of every registry by name, and the options of pretraining."""

    attacks: dict[str, Entry[Attack]]
    defenses: dict[str, Entry[Defense]]
    hashing: dict[str, Entry[bool]]
    backbones: dict[str, Entry[BackboneLimits]]
    datasets: dict[str, Entry[Dataset]]
    batteries: dict[str, Entry[dict[str, int]]]  # versions of what they run; ``none`` is one
    pretrain: tuple[Option, ...]


_FILE = TypeAdapter(tuple[str, Catalogue])  # with its key


@cache
def catalogue() -> Catalogue:
    """What the registries offer in this process.

    A process that has torch already asks the registries, which may have more entries here. Any
    other reads the cache. A cache that cannot be written costs the time alone.
    """
    if "torch" in sys.modules:
        return derived()
    try:
        key, path = code_key(), cache_file()
    except InputError:  # no home folder, or no such SAAT_CACHE: data says so where it needs one
        return derived()
    with suppress(OSError, ValueError):  # a damaged file is made anew
        stored_key, stored = _FILE.validate_json(path.read_bytes(), strict=True)
        if stored_key == key:
            return stored
    found = derived()
    registries = [registry for name, registry in vars(found).items() if name != "pretrain"]
    # An entry that is not usable now may be the next time: a dependency was missing, say.
    if not any(entry.problem for registry in registries for entry in registry.values()):
        with suppress(OSError):
            write_text(path, _FILE.dump_json((key, found)).decode())
    return found


def cache_file() -> Path:
    """Where this user's catalogue of this installation lies; raises InputError without a place."""
    user = os.getuid() if hasattr(os, "getuid") else ""
    installation = f"{user}:{sys.prefix}:{Path(saat.__file__).parent}"
    name = hashlib.sha256(installation.encode()).hexdigest()[:16]
    return default_cache_dir() / "catalogue" / f"{name}.json"


def code_key() -> str:
    """A digest of all that decides what the registries offer.

    It covers the versions of Python, of this package and of those that bring entries, and the sizes
    and times of their source files, so that no edit goes unnoticed.
    """
    known = entry_points()
    groups = [group for group in known.groups if group.startswith("saat.")]
    entries = [entry for group in groups for entry in known.select(group=group)]
    brought = sorted(
        (e.group, e.name, e.value, *((e.dist.name, e.dist.version) if e.dist else ()))
        for e in entries
    )
    parts: list[Any] = [sys.version, saat.__version__, brought]
    places = [Path(saat.__file__).parent, Path(__file__)]
    for package in sorted({entry.value.partition(":")[0].partition(".")[0] for entry in entries}):
        if spec := find_spec(package):  # which imports nothing
            places += map(Path, spec.submodule_search_locations or [str(spec.origin)])
    for place in places:
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            with suppress(OSError):
                status = path.stat()
                parts.append((str(path), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def derived() -> Catalogue:
    """The catalogue as the registries say it; imports them, and torch with them."""
    from saat.attacks import ATTACKS
    from saat.battery import BATTERIES
    from saat.data import DATASETS
    from saat.defenses import DEFENSES
    from saat.hashing import OBJECTIVES
    from saat.models import BACKBONES
    from saat.pretrain import PretrainSettings
    from saat.versions import protocol_versions

    none = Entry(OWN_PACKAGE, "no battery", protocol_versions((), "none"))
    return Catalogue(
        attacks=_entries(ATTACKS, lambda a, _: Attack(a.targeted, a.version, options_of(a))),
        defenses=_entries(
            DEFENSES, lambda d, _: Defense(options_of(d.settings), tuple(d.settings.published))
        ),
        hashing=_entries(OBJECTIVES, lambda *_: True),
        backbones=_entries(BACKBONES, lambda b, _: b.limits),
        datasets=_entries(DATASETS, lambda d, _: Dataset(d.classes, d.obtain, d.folder)),
        batteries={"none": none, **_entries(BATTERIES, lambda _, b: protocol_versions((), b))},
        pretrain=options_of(PretrainSettings),
    )


def _entries(
    registry: Registry[Any], facts: Callable[[Any, str], Facts]
) -> dict[str, Entry[Facts]]:
    """All entries of a registry; ``facts``: (entry, its name) → what is known of it."""
    found: dict[str, Entry[Facts]] = {}
    for name in registry:
        package = registry.package(name)
        try:
            found[name] = Entry(package, registry.description(name), facts(registry[name], name))
        except InputError as error:
            found[name] = Entry(package, "", None, str(error))
    return found


def options_of(settings: type[Any]) -> tuple[Option, ...]:
    """The options of a settings dataclass; TypeError where no file can express the type of one."""
    return tuple(
        Option(
            file_key(item),
            cast(Plain, item.default),
            *_kinds_and_words(item.type),
            item.metadata["bounds"],
            item.metadata["later"],
        )
        for item in option_fields(settings)
    )


def _kinds_and_words(annotation: Any) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    words = [word for one in members if get_origin(one) is Literal for word in get_args(one)]
    kinds = [one for one in members if get_origin(one) is not Literal]
    for kind in kinds:
        if kind not in (bool, int, float, str, NoneType):
            raise TypeError(f"an option is a plain value or one of several texts, not {kind}")
    return tuple(kind.__name__ for kind in kinds), tuple(words)

"""Registries: entries by name, this package's own and those that other packages bring.

A registry is a mapping. Its own entries stand in one dict, which can be read. Another package adds
an entry with :meth:`Registry.register`, or names it in its metadata, so that it is there without
any import::

    [project.entry-points."saat.attacks"]
    my_attack = "my_package:MyAttack"
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from saat.errors import InputError, one_line

T = TypeVar("T")
Entry = TypeVar("Entry")
OWN_PACKAGE = "saat-harness"


class Registry(Mapping[str, T], Generic[T]):
    """Entries by name, in the order in which they were declared.

    Args:
        kind: what an entry is, for messages (``"attack"``).
        group: entry-point group in which other packages name their entries.
        entries: this package's own; a string ``"module:attribute"`` is imported when it is asked
            for.
        problem: says what is wrong with an object that another package brings; None where nothing
            is.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        entries: Mapping[str, T | str],
        problem: Callable[[Any], str | None] | None = None,
    ) -> None:
        self.kind, self.group = kind, group
        self._entries: dict[str, Any] = dict(entries)
        self._packages = dict.fromkeys(entries, OWN_PACKAGE)
        self._problem = problem

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Decorator that adds an entry under ``name``.

        Raises:
            InputError: the name is taken, or the object is none that this registry can hold.
        """

        def add(entry: Entry) -> Entry:
            if name in self:
                raise InputError(f"{self.kind} {name}: {self.package(name)} has one of that name")
            package = str(getattr(entry, "__module__", "")).partition(".")[0]
            self._entries[name] = self._checked(name, entry, package)
            self._packages[name] = package
            return entry

        return add

    def package(self, name: str) -> str:
        """The distribution that brings an entry; of a decorated one the package it stands in."""
        if name in self._packages:
            return self._packages[name]
        return _distribution(self._foreign[name])

    def __getitem__(self, name: str) -> T:
        if name not in self._entries and name in self._foreign:
            self._entries[name] = self._imported(name, self._foreign[name])
        entry = self._entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = self._entries[name] = getattr(import_module(module), attribute)
        return entry  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        yield from self._packages
        yield from (name for name in self._foreign if name not in self._packages)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._packages or name in self._foreign

    @cached_property
    def _foreign(self) -> dict[str, EntryPoint]:
        """Entries in the metadata of other packages; none is imported yet."""
        found: dict[str, EntryPoint] = {}
        for entry in sorted(entry_points(group=self.group), key=lambda e: (e.name, e.value)):
            other = self._packages.get(entry.name) or (
                _distribution(found[entry.name]) if entry.name in found else None
            )
            if other:
                raise InputError(
                    f"{self.kind} {entry.name}: both {other} and {_distribution(entry)} bring one; "
                    "uninstall one of them"
                )
            found[entry.name] = entry
        return found

    def _imported(self, name: str, entry: EntryPoint) -> T:
        package = _distribution(entry)
        try:
            found = entry.load()
        except Exception as error:
            why = one_line(f"{type(error).__name__}: {error}", 200)
            raise InputError(
                f"{self.kind} {name} of {package}: {entry.value} cannot be imported ({why})"
            ) from error
        return self._checked(name, found, package)

    def _checked(self, name: str, entry: Any, package: str) -> T:
        problem = self._problem(entry) if self._problem else None
        if problem:
            raise InputError(f"{self.kind} {name} of {package}: {problem}")
        return entry  # type: ignore[no-any-return]


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value.partition(":")[0].partition(".")[0]

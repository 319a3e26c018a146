"""Registries: entries by name, this package's own and those that other packages bring.

A registry is a mapping. Its own entries stand in one dict, which can be read. Another package names
an entry in its metadata, so that every process finds it without an import::

    [project.entry-points."saat.attacks"]
    my_attack = "my_package:MyAttack"

A script adds an entry to its own process with :meth:`Registry.register`.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from saat.errors import InputError, one_line

T = TypeVar("T")
Entry = TypeVar("Entry")
OWN_PACKAGE = "saat-harness"
# Names become parts of file names, of metrics and of columns.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,47}")


class Registry(Mapping[str, T], Generic[T]):
    """Entries by name, in the order in which they were declared; those of other packages last.

    Nothing that another package brings is imported before it is asked for. What is wrong with such
    an entry is raised where it is asked for too, so that it keeps nobody from using the others.

    Args:
        kind: what an entry is, for messages (``"attack"``).
        group: entry-point group in which other packages name their entries.
        entries: this package's own; a string ``"module:attribute"`` is imported when asked for.
        problem: what is wrong with an object that another package brings; None where nothing is.
        describe: one line about an entry, for ``saat list``.
        summaries: these lines for own entries that take long to import.
        reserved: pattern of names that no other package may use.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        entries: Mapping[str, T | str],
        problem: Callable[[Any], str | None] = lambda _: None,
        describe: Callable[[T], str] = lambda _: "",
        summaries: Mapping[str, str] = MappingProxyType({}),
        reserved: str = "",
    ) -> None:
        self.kind, self.group = kind, group
        self._entries: dict[str, Any] = dict(entries)
        self._packages = dict.fromkeys(entries, OWN_PACKAGE)
        self._problem, self._describe, self._reserved = problem, describe, reserved
        self._summaries = summaries

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Decorator that adds an entry in this process; a script may replace its own ones.

        Raises:
            InputError: the name exists or cannot be used, or the registry cannot hold the object.
        """
        package = str(sys._getframe(1).f_globals.get("__name__")).partition(".")[0]

        def add(entry: Entry) -> Entry:
            others = [self.package(name)] if name in self else []
            replaces = others == [package] == ["__main__"]
            self._check_name(name, [package] if replaces else [*others, package])
            self._entries[name] = self._checked(name, entry, package)
            self._packages[name] = package
            return entry

        return add

    def package(self, name: str) -> str:
        """The distribution that brings an entry; of a registered one the package that did so."""
        return self._packages.get(name) or _distribution(self._foreign[name][0])

    def description(self, name: str) -> str:
        """One line about an entry; errors are those of :meth:`__getitem__`."""
        if name in self._summaries and self.package(name) == OWN_PACKAGE:
            return self._summaries[name]
        return self._describe(self[name])

    def __getitem__(self, name: str) -> T:
        """The entry of that name.

        Raises:
            KeyError: there is none.
            InputError: another package brings it, and it cannot be used: two of one name, a name
                or an object that the registry cannot have, or a failing import.
        """
        if name in self._foreign:
            packages = [self._packages[name]] if name in self._packages else []
            self._check_name(name, [*packages, *map(_distribution, self._foreign[name])])
            if name not in self._entries:
                self._entries[name] = self._imported(name, self._foreign[name][0])
        entry = self._entries[name]
        if isinstance(entry, str):
            entry = self._entries[name] = EntryPoint(name, entry, self.group).load()
        return entry  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._packages, *self._foreign)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._packages or name in self._foreign

    @cached_property
    def _foreign(self) -> dict[str, list[EntryPoint]]:
        """Entries in the metadata of other packages, none imported; by right one a name."""
        found: dict[str, list[EntryPoint]] = {}
        for entry in sorted(_installed(tuple(sys.path)).select(group=self.group)):
            found.setdefault(entry.name, []).append(entry)
        return found

    def _check_name(self, name: str, packages: list[str]) -> None:
        if len(packages) > 1:
            raise InputError(
                f"{self.kind} {one_line(name, 60)}: {' and '.join(packages)} each bring one of "
                "that name; rename or uninstall one of them"
            )
        if not NAME.fullmatch(name):
            raise InputError(
                f"{self.kind} {one_line(name, 60)!r} of {packages[0]}: a name is a letter and up "
                "to 47 letters, digits and underscores"
            )
        if re.fullmatch(self._reserved, name):
            raise InputError(f"{self.kind} {name} of {packages[0]}: saat-harness uses this name")

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
        if problem := self._problem(entry):
            raise InputError(f"{self.kind} {name} of {package}: {problem}")
        return entry  # type: ignore[no-any-return]


def instance_of(kind: type[Any]) -> Callable[[Any], str | None]:
    """A registry's ``problem``: entries are objects of ``kind``."""

    def problem(entry: Any) -> str | None:
        if isinstance(entry, kind):
            return None
        return f"must be a {kind.__module__}.{kind.__name__}, not {one_line(repr(entry), 60)}"

    return problem


def subclass_of(named: type[Any] | str) -> Callable[[Any], str | None]:
    """A registry's ``problem``: entries are classes below a base without abstract methods.

    A base that takes long to import is ``named`` ``"module:Class"``.
    """

    def problem(entry: Any) -> str | None:
        base = resolve_name(named) if isinstance(named, str) else named
        if not (isinstance(entry, type) and issubclass(entry, base)):
            shown = one_line(repr(entry), 60)
            return f"must be a subclass of {base.__module__}.{base.__name__}, not {shown}"
        if inspect.isabstract(entry):
            missing: frozenset[str] = getattr(entry, "__abstractmethods__", frozenset())
            return f"lacks {', '.join(sorted(missing))}"
        return None

    return problem


def first_line(entry: object) -> str:
    """A registry's ``describe``: the first line of an entry's docstring."""
    return (entry.__doc__ or "").strip().partition("\n")[0]


def contributing_packages() -> list[str]:
    """Distributions that bring entries of any registry, sorted; nothing is imported."""
    installed = _installed(tuple(sys.path))
    groups = [group for group in installed.groups if group.startswith("saat.")]
    found = {_distribution(entry) for group in groups for entry in installed.select(group=group)}
    return sorted(found - {OWN_PACKAGE})


@cache
def _installed(path: tuple[str, ...]) -> Any:
    """Entry points of everything on ``path``, which is sys.path: reading them takes a moment.

    Their type has another name before Python 3.12, with the same methods.
    """
    del path
    return entry_points()


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value.partition(":")[0].partition(".")[0]

"""Registries: a mapping of own entries, and of those that other packages bring."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saat.errors import InputError
from saat.registry import (
    OWN_PACKAGE,
    Registry,
    contributing_packages,
    first_line,
    instance_of,
    subclass_of,
)

GROUP = "saat.test_entries"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a package with entry points on the path: its module ``{package}_module`` and metadata."""

    def installed(package: str, code: str, **entries: str) -> None:
        folder = tmp_path / package
        metadata = folder / f"{package}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (folder / f"{package}_module.py").write_text(code)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        )
        lines = (f"{name} = {package}_module:{where}" for name, where in entries.items())
        (metadata / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]) + "\n")
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, f"{package}_module", raising=False)

    return installed


def numbers(**entries: int | str) -> Registry[int]:
    return Registry("number", GROUP, entries or {"one": 1, "two": 2}, problem=instance_of(int))


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as raised:
        call()
    assert "\n" not in str(raised.value)
    return str(raised.value)


WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)


@given(st.dictionaries(WORDS, st.integers()), st.dictionaries(WORDS, st.integers()))
def test_a_registry_is_the_mapping_of_its_entries(
    own: dict[str, int], later: dict[str, int]
) -> None:
    registry: Registry[int] = Registry("number", "saat.nobody", own)
    expected = dict(own)
    for name, value in later.items():
        if name in own:
            said = refused(partial(registry.register(name), value))
            assert "each bring one of that name" in said
        else:
            assert registry.register(name)(value) == value
            expected[name] = value
    assert dict(registry) == expected == registry
    assert list(registry) == list(expected)
    assert len(registry) == len(expected)
    assert "no such name" not in registry
    assert registry.get("no such name") is None
    with pytest.raises(KeyError):
        registry["no such name"]
    for name in expected:
        assert registry.package(name) == (OWN_PACKAGE if name in own else "tests")


def test_an_own_entry_may_be_named_and_imported_later(install: Install) -> None:
    install("lazy", "number = 7")
    registry = numbers(seven="lazy_module:number")
    assert list(registry) == ["seven"]
    assert "lazy_module" not in sys.modules
    assert registry["seven"] == registry["seven"] == 7


def test_another_package_brings_an_entry_that_is_imported_when_asked_for(install: Install) -> None:
    install("theirs", "number = 3", three="number")
    registry = numbers()
    assert list(registry) == ["one", "two", "three"]
    assert (len(registry), "three" in registry, registry.package("three")) == (3, True, "theirs")
    assert "theirs" in contributing_packages()
    assert "theirs_module" not in sys.modules
    assert registry["three"] == 3
    assert "theirs_module" in sys.modules
    assert "theirs and tests each bring" in refused(lambda: registry.register("three")(4))


def test_two_of_one_name_are_refused_when_asked_for_and_nothing_else_is(install: Install) -> None:
    install("first", "number = 3", one="number", three="number", four="number")
    install("second", "number = 3", three="number")
    registry = numbers()
    assert sorted(registry) == ["four", "one", "three", "two"]
    assert len(registry) == 4
    assert refused(lambda: registry["one"]) == (
        "number one: saat-harness and first each bring one of that name; rename or uninstall one "
        "of them"
    )
    assert "first and second each bring one" in refused(lambda: registry["three"])
    assert (registry["two"], registry["four"]) == (2, 3)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import nothing_of_that_name", "bad_module:number cannot be imported (ModuleNotFound"),
        ("raise SystemError('two\\nlines')", "cannot be imported (SystemError: two lines)"),
        ("", "cannot be imported (AttributeError: "),
        ("number = 'three'", "must be a builtins.int, not 'three'"),
    ],
)
def test_an_entry_that_cannot_be_used_says_so_in_one_line(
    code: str, problem: str, install: Install
) -> None:
    install("bad", code, three="number")
    registry = numbers()
    said = refused(lambda: registry["three"])
    assert said.startswith("number three of bad: ")
    assert problem in said
    assert refused(lambda: registry.description("three")) == said
    assert registry["one"] == 1


@pytest.mark.parametrize("name", ["three-four", "3", "a.b", "x" * 49, "none", "my_target"])
def test_names_that_files_and_columns_cannot_have_are_refused(name: str, install: Install) -> None:
    install("named", "number = 3", **{name: "number"})
    registry: Registry[int] = Registry("number", GROUP, {}, reserved="none|.*_target")
    assert "of named: " in refused(lambda: registry[name])
    other: Registry[int] = Registry("number", "saat.nobody", {}, reserved="none|.*_target")
    assert "of tests: " in refused(lambda: other.register(name)(3))


class Shape(ABC):
    """Something with an area.

    Not shown.
    """

    @abstractmethod
    def area(self) -> float: ...


class Unfinished(Shape):
    pass


class Square(Shape):
    def area(self) -> float:
        return 1.0


def test_classes_are_checked_for_their_base_and_for_what_they_lack() -> None:
    problem = subclass_of(Shape)
    assert problem(Square) is None
    assert problem(Unfinished) == "lacks area"
    for other in (int, Square()):
        assert "must be a subclass of" in str(problem(other))
    assert first_line(Shape) == "Something with an area."

"""The catalogue says what the registries say, and a stale or damaged file of it is not believed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import catalogue as module
from harness.catalogue import Catalogue, catalogue, code_key, derived, options_of
from harness.experiment.sections import settings_model
from saat.attacks import ATTACKS
from saat.defenses import DEFENSES
from saat.models import BACKBONES
from saat.settings import file_key, option_fields
from saat.versions import protocol_versions

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A process that has not imported torch, and an empty cache; notes every derivation."""
    process = SimpleNamespace(modules={}, prefix=sys.prefix, version=sys.version)
    monkeypatch.setattr(module, "sys", process)
    monkeypatch.setenv("SAAT_CACHE", str(tmp_path))
    derivations: list[str] = []

    def noted() -> Catalogue:
        derivations.append("derived")
        return whole

    whole = derived()
    monkeypatch.setattr(module, "derived", noted)
    return derivations


def read_anew() -> Catalogue:
    return catalogue.__wrapped__()


def test_a_stored_catalogue_is_the_derived_one(without_torch: list[str]) -> None:
    first, second = read_anew(), read_anew()
    assert without_torch == ["derived"]
    assert repr(first) == repr(second)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "\x00" * 100,
        lambda text: "[]",
        lambda text: json.dumps([json.loads(text)[0], {}]),
        lambda text: text.replace("mainstay_targeted", "mainstay").replace("false", "null"),
        lambda text: json.dumps(["of another version", json.loads(text)[1]]),
    ],
)
def test_a_damaged_file_is_made_anew(without_torch: list[str], damage: object) -> None:
    whole = read_anew()
    path = module.cache_file()
    text = path.read_text()
    assert callable(damage)
    path.write_text(damage(text))
    assert repr(read_anew()) == repr(whole)
    assert without_torch == ["derived", "derived"]
    assert path.read_text() == text


def test_without_a_writable_cache_all_goes_on(
    without_torch: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", "~nosuchuser/x"):
        monkeypatch.setenv("SAAT_CACHE", str(place))
        assert read_anew().attacks
    assert without_torch == ["derived", "derived"]


def test_an_entry_that_cannot_be_used_is_tried_again_the_next_time(
    without_torch: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dependency that it lacks may be installed by then."""
    broken = module.Entry[module.Attack]("other", "", None, "attack x of other: cannot be imported")
    whole = derived()
    attacks = {**whole.attacks, "x": broken}
    monkeypatch.setattr(module, "derived", lambda: Catalogue(**{**vars(whole), "attacks": attacks}))
    assert "x" in read_anew().attacks
    monkeypatch.setattr(module, "derived", lambda: whole)
    assert "x" not in read_anew().attacks


CHANGED = """
from harness.experiment.sections import defense_model
print(defense_model("saat").model_fields["mu"].default, "torch" in __import__("sys").modules)
"""


@pytest.mark.lengthy
def test_a_changed_option_of_a_class_changes_what_files_are_checked_against(tmp_path: Path) -> None:
    for package in ("saat", "harness", "reports"):
        shutil.copytree(ROOT / package, tmp_path / package)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "SAAT_CACHE": str(tmp_path / "cache")}
    file = tmp_path / "saat" / "defenses" / "saat.py"
    source = file.read_text(encoding="utf-8")
    printed = []
    for text in (source, source, source.replace("option(1e-4", "option(2e-4")):
        if text != file.read_text(encoding="utf-8"):
            file.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", CHANGED],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        printed.append(done.stdout.split())
    assert printed == [["0.0001", "True"], ["0.0001", "False"], ["0.0002", "True"]]


def test_the_key_follows_what_other_packages_bring(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An entry point, its version, and the code behind it."""
    keys = [code_key()]
    (tmp_path / "stranger.py").write_text("class A: pass\n")
    metadata = tmp_path / "stranger-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[saat.attacks]\nstrange = stranger:A\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    keys.append(code_key())
    (tmp_path / "stranger.py").write_text("class A: steps = 1\n")
    keys.append(code_key())
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.1\n")
    keys.append(code_key())
    assert len(set(keys)) == 4
    assert keys[-1] == code_key()


def test_every_option_has_the_bounds_and_the_default_of_its_class() -> None:
    found = derived()
    classes: dict[str, Any] = {f"attack {name}": attack for name, attack in ATTACKS.items()}
    classes |= {f"defense {name}": entry.settings for name, entry in DEFENSES.items()}
    told = {f"attack {name}": entry.usable().options for name, entry in found.attacks.items()}
    told |= {f"defense {name}": entry.usable().options for name, entry in found.defenses.items()}
    assert told.keys() == classes.keys()
    for name, settings in classes.items():
        fields = {file_key(item): item for item in option_fields(settings)}
        assert {o.key: (o.default, o.bounds) for o in told[name]} == {
            key: (item.default, item.metadata["bounds"]) for key, item in fields.items()
        }
        assert settings_model(told[name])().model_dump() == {
            key: item.default for key, item in fields.items()
        }


def test_backbones_have_the_limits_that_building_them_checks() -> None:
    limits = {name: entry.usable() for name, entry in derived().backbones.items()}
    assert limits == {name: entry.limits for name, entry in BACKBONES.items()}


@pytest.mark.parametrize("battery", ["none", "core", "full", "exhaustive"])
def test_protocols_have_the_versions_of_all_that_they_run(battery: str) -> None:
    found = derived()
    attacks = {name: entry.usable().version for name, entry in found.attacks.items()}
    expected = protocol_versions(ATTACKS, battery)
    assert attacks | found.batteries[battery].usable() == expected


def test_an_option_that_no_file_can_express_is_refused() -> None:
    from dataclasses import dataclass

    from saat.settings import option

    @dataclass(frozen=True)
    class Settings:
        weights: list[float] = option((), help="one for every bit")

    with pytest.raises(TypeError, match="not list"):
        options_of(Settings)

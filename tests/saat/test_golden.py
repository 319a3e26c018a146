"""Numbers change only together with the version of their formula."""

import json
import shutil
from pathlib import Path

import pytest

from saat.attacks import ATTACKS, ApgdMainstay, apgd, hag
from saat.battery import BATTERIES
from saat.reliability import strength
from tests import golden
from tests.golden import numbers

EVERYTHING = [(kind, name) for kind in numbers.KINDS for name in golden.names(kind)]


@pytest.mark.parametrize(("kind", "name"), EVERYTHING)
def test_numbers_are_those_recorded_for_their_version(kind: str, name: str) -> None:
    assert golden.problem(kind, name) is None


@pytest.mark.parametrize("kind", numbers.KINDS)
def test_no_numbers_of_other_versions_are_recorded(kind: str) -> None:
    versions = numbers.KINDS[kind].versions()
    assert list(golden.recorded(kind)) == [f"{name}@{v}" for name, v in versions.items()]


def test_another_formula_under_the_same_version_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hag, "MOMENTUM", 0.8)
    monkeypatch.setattr(apgd, "MOMENTUM", 0.7)
    monkeypatch.setattr(strength, "FLOOR_TOLERANCE", 0.06)
    monkeypatch.setitem(BATTERIES["core"].white_box, "apgd_mainstay", ApgdMainstay(steps=16))
    monkeypatch.setattr(
        "saat.victim.chance_average_precision", lambda labels, *_: labels.double().mean(1)
    )
    numbers.gate_results.cache_clear()
    numbers.evaluation.cache_clear()
    for kind, key in (
        ("attacks", "hag@2"),
        ("attacks", "apgd_margin@2"),
        ("gates", "floor@1"),
        ("batteries", "core@2"),
        ("formulas", "chance@1"),
        ("metrics", "chance_map@1"),
    ):
        said = str(golden.problem(kind, key.partition("@")[0]))
        assert said.startswith(f"{kind}: numbers of {key} changed (")
        assert said.endswith("raise its version, and record them: python -m tests.golden")
    assert golden.problem("attacks", "sdha") is None
    numbers.gate_results.cache_clear()
    numbers.evaluation.cache_clear()


def test_a_raised_version_asks_for_its_numbers_and_they_can_be_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in golden.FOLDER.glob("*.json"):
        shutil.copy(path, tmp_path)
    kinds = {kind: numbers.KINDS[kind] for kind in ("attacks",)}
    kinds["attacks"] = kinds["attacks"]._replace(
        versions=lambda: {name: ATTACKS[name].version for name in ("hag", "bim")}
    )
    monkeypatch.setattr("tests.golden.KINDS", kinds)
    monkeypatch.setattr(ATTACKS["hag"], "version", 3)
    monkeypatch.setattr(hag, "MOMENTUM", 0.8)
    said = golden.problem("attacks", "hag", tmp_path)
    assert said == "attacks: no golden numbers of hag@3; record them: python -m tests.golden"
    before = golden.recorded("attacks")
    assert golden.record(tmp_path) == []
    after = json.loads((tmp_path / "attacks.json").read_text())
    assert list(after) == ["hag@3", "bim@1"]
    assert after["hag@3"] != before["hag@2"]
    assert after["bim@1"] == before["bim@1"]

    monkeypatch.setattr(hag, "MOMENTUM", 0.9)
    assert "numbers of hag@3 changed" in golden.record(tmp_path)[0]
    assert json.loads((tmp_path / "attacks.json").read_text()) == after, "what is there stays"

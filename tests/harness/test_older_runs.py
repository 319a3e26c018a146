"""Runs of earlier versions: what is compared with them, what goes on, and what is said.

``older_run/`` is a search that the commit b9d9918 began, cut off during its second trial. That
version stored no versions of formulas.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.__main__ import main
from harness.catalogue import derived
from harness.experiment.config import Experiment
from harness.experiment.file import load_stored
from harness.journal.journal import line_of, read
from harness.journal.protocol_identity import (
    changed_versions,
    protocol_hash,
    stored_versions,
    version_note,
)
from harness.search.warm_start import warm_start
from harness.session.resume_checks import check_reported_protocol, check_resumed_protocol
from harness.session.status import render, status_of
from saat.attacks import ATTACKS
from saat.errors import InputError
from tests.harness.tiny import shared_cache

FIXTURE = Path(__file__).parent / "older_run"
HAG_CHANGED = "hag was version 2, is 3"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    shared_cache(tmp_path_factory)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURE, tmp_path / "runs" / "older"))


@pytest.fixture
def mainstay_as_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one formula of that run that has changed since, as if it had not."""
    monkeypatch.setattr(ATTACKS["mainstay"], "version", 1)
    monkeypatch.setattr("harness.journal.protocol_identity.catalogue", derived)


@pytest.fixture
def another_hag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ATTACKS["hag"], "version", 3)
    monkeypatch.setattr("harness.journal.protocol_identity.catalogue", derived)


def begun(run_dir: Path) -> tuple[Experiment, dict[str, Any]]:
    experiment, _ = load_stored(run_dir / "experiment.yaml")
    return experiment, read(run_dir / "events.jsonl")[0]


def ended(capsys: Any, *arguments: object) -> tuple[object, str]:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return end.value.code, out + err


def test_a_run_with_the_earlier_mainstay_attack_is_refused_in_one_line(
    run_dir: Path, capsys: Any
) -> None:
    status, said = ended(capsys, "resume", "older", "--runs-dir", run_dir.parent)
    assert status == 2
    assert len(said.splitlines()) == 1
    assert "mainstay was version 1, is 2" in said
    assert "begin anew under another --name" in said


@pytest.mark.usefixtures("mainstay_as_then")
def test_formulas_that_have_not_changed_leave_the_protocol_as_it_was(run_dir: Path) -> None:
    experiment, started = begun(run_dir)
    assert "versions" not in started
    assert protocol_hash(experiment, started["data_fingerprint"]) == started["protocol_hash"]
    assert stored_versions(experiment, started) == {"hag": 2}
    assert version_note(experiment, started) == ""
    check_resumed_protocol(experiment, started, run_dir / "experiment.yaml")


@pytest.mark.slow
@pytest.mark.usefixtures("mainstay_as_then")
def test_a_search_that_an_earlier_version_began_goes_on(run_dir: Path, capsys: Any) -> None:
    known = read(run_dir / "events.jsonl")
    status, said = ended(capsys, "resume", "older", "--runs-dir", run_dir.parent)
    assert status == 0, said
    events = read(run_dir / "events.jsonl")
    assert events[: len(known)] == known
    assert events[-1]["event"] == "reported"
    suggested = [event["trial"]["trial_id"] for event in events if event["event"] == "suggested"]
    assert len(suggested) == len(set(suggested)) == 3


@pytest.mark.usefixtures("another_hag")
def test_a_run_of_another_version_is_shown_and_says_so_but_does_not_go_on(
    run_dir: Path, capsys: Any
) -> None:
    experiment, started = begun(run_dir)
    file = run_dir / "experiment.yaml"
    check_reported_protocol(experiment, started, file)
    found = status_of(run_dir)
    assert found["trials"] == "2 trials: 1 completed, 1 running"
    assert HAG_CHANGED in found["versions"]
    assert f"  {found['versions']}" in render(found).splitlines()

    status, said = ended(capsys, "resume", "older", "--runs-dir", run_dir.parent)
    assert status == 2
    assert len(said.splitlines()) == 1
    assert HAG_CHANGED in said
    assert "begin anew under another --name" in said


@pytest.mark.usefixtures("another_hag")
def test_a_report_of_another_version_says_so(run_dir: Path, capsys: Any) -> None:
    status, said = ended(capsys, "report", "older", "--runs-dir", run_dir.parent)
    assert status == 0, said
    assert "older: measured by another version of saat-harness" in said
    assert HAG_CHANGED in said


@pytest.mark.usefixtures("another_hag")
def test_numbers_of_another_version_do_not_start_a_search(run_dir: Path) -> None:
    experiment, started = begun(run_dir)
    data = started["data_fingerprint"]
    later = experiment.model_copy(
        update={"search": experiment.search.model_copy(update={"warm_start": ["older"]})}
    )
    own = protocol_hash(later, data)
    with pytest.raises(InputError, match="versions of attacks, gates and metrics must be the same"):
        warm_start(later, run_dir.parent, data, own)


@pytest.mark.usefixtures("mainstay_as_then")
@pytest.mark.parametrize(
    ("versions", "note"),
    [
        ({"hag": 2}, ""),
        ({}, "hag was version 1, is 2"),
        ({"hag": 5, "gate.floor": 2}, "gate.floor was version 2, is 1, hag was version 5, is 2"),
    ],
)
def test_stored_versions_are_compared_with_these(
    versions: dict[str, int], note: str, run_dir: Path
) -> None:
    experiment, started = begun(run_dir)
    data = started["data_fingerprint"]
    started |= {"versions": versions, "protocol_hash": protocol_hash(experiment, data, versions)}
    assert stored_versions(experiment, started) == versions
    found = version_note(experiment, started)
    assert found.endswith(note)
    assert bool(found) == bool(note)
    # And those of the releases before they were stored.
    del started["versions"]
    assert stored_versions(experiment, started) == (None if "gate.floor" in versions else versions)


@pytest.mark.parametrize("version", [1, 2])
def test_a_run_with_an_earlier_battery_says_so(version: int, run_dir: Path) -> None:
    experiment, started = begun(run_dir)
    confirm = experiment.confirm.model_copy(update={"battery": "full"})
    experiment = experiment.model_copy(update={"confirm": confirm})
    versions = changed_versions(experiment) | {"battery.full": version}
    hashed = protocol_hash(experiment, started["data_fingerprint"], versions)
    started |= {"versions": versions, "protocol_hash": hashed}
    assert version_note(experiment, started).endswith(f"battery.full was version {version}, is 3")


@pytest.mark.parametrize("versions", [None, {"hag": 2}])
def test_another_protocol_is_no_other_version(
    versions: dict[str, int] | None, run_dir: Path
) -> None:
    experiment, started = begun(run_dir)
    file = run_dir / "experiment.yaml"
    started |= {"versions": versions, "protocol_hash": protocol_hash(experiment, "other data")}
    for check in (check_reported_protocol, check_resumed_protocol):
        with pytest.raises(InputError, match="not what the search began with"):
            check(experiment, started, file)


def test_a_journal_may_hold_versions(run_dir: Path) -> None:
    first, *others = read(run_dir / "events.jsonl")
    path = run_dir / "events.jsonl"
    path.write_bytes(b"".join(map(line_of, [{**first, "versions": {"hag": 2}}, *others])))
    assert read(path)[0]["versions"] == {"hag": 2}
    path.write_bytes(b"".join(map(line_of, [{**first, "versions": {"hag": "2"}}, *others])))
    with pytest.raises(InputError, match="versions"):
        read(path)

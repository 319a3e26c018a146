"""Searches that were begun by an earlier version (commit b9d9918) go on under this one."""

from pathlib import Path
from typing import Any

import pytest

from harness.journal.journal import Event, Journal
from harness.journal.state import SearchState
from tests.harness.fakes import cut, experiment, finished, outcome

JOURNALS = Path(__file__).with_name("journals")
FAILS = (3.0, 5.0)
SMALL: dict[str, Any] = {"confirm__seeds": 1, "confirm__max_configs": 1}
EHVI = experiment(search__sampler="ehvi", search__num_samples=12, defense__epochs=3, **SMALL)
DISCRETE = {
    "model.bits": {"choice": [16, 32]},
    "defense.lambda": {"choice": [0.5, 1.0, 2.0, 4.0]},
    "defense.steps": {"int": [7, 9]},
}
NSGA2 = experiment(
    search__sampler="nsga2",
    search__num_samples=13,
    search__scheduler="none",
    space=DISCRETE,
    defense__epochs=2,
    **SMALL,
)


def events_of(name: str, folder: Path) -> list[Event]:
    folder.mkdir()
    (folder / "events.jsonl").write_bytes((JOURNALS / f"{name}.jsonl").read_bytes())
    journal = Journal(folder)
    journal.close()
    return list(journal.events)


def outcomes(events: list[Event]) -> dict[str, Any]:
    state = SearchState()
    for event in events:
        state.apply(event)
    return {trial_id: outcome(record) for trial_id, record in state.trials.items()}


def position(events: list[Event], number: int) -> int:
    """Events up to the suggestion of a trial."""
    suggested = [i for i, event in enumerate(events) if event["event"] == "suggested"]
    return suggested[number] + 1


@pytest.mark.parametrize("number", [2, 5, 10, 14])
def test_a_search_with_nsga2_goes_on_as_the_old_one_did(number: int, tmp_path: Path) -> None:
    """Generations are read under their old name; no trial without one is left out."""
    old = events_of("nsga2", tmp_path / "old")
    cut(old, position(old, number), tmp_path / "cut")
    search = finished(tmp_path / "cut", NSGA2, fails=FAILS)
    assert outcomes(search.journal.events) == outcomes(old)
    noted = [e["notes"] for e in old if e["event"] == "suggested"]
    generations = [notes.get("_Nsga2:generation", 0) for notes in noted]
    assert max(generations) == 2
    records = search.state.trials.values()
    assert [r.notes.get("_Nsga2:generation", 0) for r in records] == generations


def test_a_search_with_ehvi_goes_on_with_its_probes(tmp_path: Path) -> None:
    """The last digits of its suggestions are the machine's; those before the cut are the old ones.

    Wherever the search is cut again, it ends as it did.
    """
    old = events_of("ehvi", tmp_path / "old")
    count = position(old, 6)
    cut(old, count, tmp_path / "cut")
    search = finished(tmp_path / "cut", EHVI, fails=FAILS)
    ended, before = outcomes(search.journal.events), outcomes(old[:count])
    assert [ended[i][:2] for i in before] == [before[i][:2] for i in before]
    records = search.state.of_phase("explore")
    assert [r.spec.number for r in records if "probe" in r.notes] == [2, 3]
    assert {r.stop_reason for r in records if "probe" in r.notes} == {
        "a probe, which ends at epoch 1"
    }
    later = position(search.journal.events, 11)
    cut(search.journal.events, later, tmp_path / "again")
    again = finished(tmp_path / "again", EHVI, fails=FAILS)
    assert outcomes(again.journal.events) == ended


def test_a_probe_that_an_old_journal_left_running_ends_at_the_first_rung(tmp_path: Path) -> None:
    old = events_of("ehvi", tmp_path / "old")
    cut(old, position(old, 2), tmp_path / "cut")
    search = finished(tmp_path / "cut", EHVI, fails=FAILS)
    (probe, *_) = (r for r in search.state.of_phase("explore") if "probe" in r.notes)
    assert (probe.spec.number, probe.stop_reason) == (2, "a probe, which ends at epoch 1")

"""Settings at chance: recommended nowhere, marked everywhere, and no reason to stop."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.experiment.config import Experiment
from harness.journal.state import SearchState, TrialRecord
from harness.search.recommendation import eligible, explored_hypervolume, recommend
from harness.search.search import Search
from harness.search.searcher import Searcher
from harness.session.status import render, status_of
from harness.tracking.tracked_values import end_tags
from harness.trial.interface import EpochReport, FinalReport, TrialSpec
from reports.frontier import hypervolume
from tests.harness import fakes
from tests.harness.fakes import drive, experiment, objectives, open_search

pytestmark = pytest.mark.usefixtures("no_fsync")

CHANCE = 0.45
SPACE: dict[str, Any] = {"defense.lambda": {"float": [0.5, 6.0], "log": True}}


def outcome(config: dict[str, Any]) -> tuple[float, float]:
    """(clean, robust): above λ = 3 all images have one code, below 1 robust MAP is below chance."""
    defense = config["defense"]
    if defense["method"] != "none" and defense["lambda"] > 3:
        return CHANCE, CHANCE
    clean, robust = objectives(config)
    if defense["method"] != "none" and defense["lambda"] < 0.9:
        return clean, min(robust, CHANCE - 0.02)
    return clean, robust + 0.2


def searched(**changes: Any) -> Experiment:
    return experiment(space=SPACE, search__scheduler="none", search__num_samples=12, **changes)


@pytest.fixture
def collapsing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials whose re-attack knows chance."""
    plain = fakes.fake_trial

    def fake_trial(spec: TrialSpec, *fails: Any) -> Iterator[EpochReport | FinalReport]:
        for report in plain(spec, *fails):
            if isinstance(report, FinalReport):
                clean, robust = outcome(spec.config.dump())
                prefix = "reattack" if spec.phase == "explore" else "test"
                values = {"clean_map": clean, "robust_map": robust, "chance_map": CHANCE}
                values |= {"lift.clean": clean - CHANCE, "lift.robust": robust - CHANCE}
                report.metrics.update({f"{prefix}/{name}": v for name, v in values.items()})
            yield report

    monkeypatch.setattr(fakes, "fake_trial", fake_trial)


def ran(run_dir: Path, **changes: Any) -> Search:
    whole = searched(**changes)
    search = open_search(run_dir, whole)
    drive(search)
    (run_dir / "experiment.yaml").write_text(yaml.safe_dump(whole.dump()))
    return search


def by_weight(search: Search) -> tuple[list[TrialRecord], list[TrialRecord], list[TrialRecord]]:
    """Explored trials whose robust MAP is at chance, those above, and those that collapsed."""
    trials = search.state.of_phase("explore")
    weights = [record.spec.config.dump()["defense"]["lambda"] for record in trials]
    groups: tuple[list[TrialRecord], ...] = ([], [], [])
    for record, weight in zip(trials, weights, strict=True):
        groups[(weight >= 0.9) + (weight > 3)].append(record)
    assert all(groups), "otherwise the test says nothing"
    return groups[0], groups[1], groups[2]


@pytest.mark.usefixtures("collapsing")
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_only_settings_above_chance_are_recommended(tmp_path: Path, sampler: str) -> None:
    search = ran(tmp_path, search__sampler=sampler, confirm__max_configs=10)
    _, above, _ = by_weight(search)
    wanted = {r.spec.trial_id for r in above if r.spec.role == "sampled"}
    assert search.state.recommended
    assert set(search.state.recommended) <= wanted
    most_robust = max(above, key=lambda r: r.metrics["reattack/robust_map"])
    assert most_robust.spec.role == "default" or most_robust.spec.trial_id in (
        search.state.recommended
    )


@pytest.mark.usefixtures("collapsing")
def test_a_collapsed_setting_is_on_no_front_and_adds_no_hypervolume(tmp_path: Path) -> None:
    search = ran(tmp_path)
    powerless, above, collapsed = by_weight(search)
    points = [outcome(r.spec.config.dump()) for r in [*powerless, *above]]
    found = status_of(tmp_path)
    names = {r.spec.trial_id for r in collapsed}
    assert not names & {entry["trial_id"] for entry in found["front"]}
    assert found["hypervolume"] == pytest.approx(hypervolume(points))
    assert explored_hypervolume(search.experiment.aims, search.state) == found["hypervolume"]
    allowed = {entry["trial_id"]: entry["recommendable"] for entry in found["front"]}
    for record in powerless:
        assert not allowed.get(record.spec.trial_id, False)
    for record in above:
        assert allowed.get(record.spec.trial_id, True)


@pytest.mark.usefixtures("collapsing")
def test_status_warns_in_a_line_a_kind(tmp_path: Path) -> None:
    search = ran(tmp_path)
    _, _, collapsed = by_weight(search)
    text = render(status_of(tmp_path))
    (line,) = [line for line in text.splitlines() if "warning: clean MAP" in line]
    assert collapsed[0].spec.trial_id in line
    assert "warning: robust MAP is not above chance" in text


@pytest.mark.usefixtures("collapsing")
def test_where_all_are_at_chance_the_default_is_confirmed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.CHANCE", 0.99)
    search = ran(tmp_path)
    assert search.state.recommended == []
    assert search.state.finished
    roles = {record.spec.role for record in search.state.of_phase("confirm")}
    assert roles == {"default", "undefended"}
    found = status_of(tmp_path)
    assert (found["front"], found["hypervolume"]) == ([], 0.0)
    assert "; empty front" in render(found)


@pytest.mark.usefixtures("collapsing")
def test_no_sampler_learns_the_robust_map_of_a_collapsed_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[int, str] = {}
    plain = Searcher.tell

    def tell(self: Searcher, number: int, outcome: Any, *more: Any) -> None:
        told[number] = outcome
        plain(self, number, outcome, *more)

    monkeypatch.setattr(Searcher, "tell", tell)
    powerless, above, collapsed = by_weight(ran(tmp_path))
    assert {told[r.spec.number] for r in collapsed} == {"failed"}
    assert {told[r.spec.number] for r in [*powerless, *above]} == {"completed"}


@pytest.mark.usefixtures("collapsing")
def test_a_run_of_the_tracker_has_tags(tmp_path: Path) -> None:
    powerless, above, collapsed = by_weight(ran(tmp_path))
    assert {end_tags(r).get("saat.at_chance") for r in above} == {None}
    assert {end_tags(r).get("saat.warnings") for r in above} == {None}
    assert {end_tags(r)["saat.at_chance"] for r in powerless} == {"robust"}
    assert {end_tags(r)["saat.at_chance"] for r in collapsed} == {"clean, robust"}
    assert "clean MAP is not above chance" in end_tags(collapsed[0])["saat.warnings"]
    wordy = replace(above[0], stop_reason="x" * 8001)
    assert end_tags(wordy)["saat.stop_reason"] == "x" * 8000  # the most that MLflow takes


@pytest.mark.usefixtures("collapsing")
def test_trials_of_an_earlier_search_are_judged_alike(tmp_path: Path) -> None:
    old = tmp_path / "old"
    powerless, _, collapsed = by_weight(ran(old))
    from harness.search.warm_start import warm_start

    fields = warm_start(
        searched(search__warm_start=["old"]), tmp_path, fakes.FINGERPRINT, "protocol"
    )
    state = SearchState([{"event": "warm_started", "time": 0.0, **fields}])
    whole = searched()
    assert not {r.spec.trial_id for r in [*powerless, *collapsed]} & set(
        recommend(whole, state.known())
    )
    kept = {r.spec.trial_id for r in state.known() if eligible(whole.aims, r)}
    assert kept
    assert not {r.spec.trial_id for r in collapsed} & kept

"""Searches for other aims: three objectives, minimised ones, seconds of work, preferences."""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import yaml

from harness.experiment.config import Experiment
from harness.experiment.file import load_stored
from harness.journal.state import SearchState, TrialRecord
from harness.search.prior import guesses
from harness.search.recommendation import eligible_values, explored_hypervolume, recommend
from harness.search.samplers.context import Guess, SamplerContext, SearchedObjective
from harness.search.searcher import Searcher
from harness.search.warm_start import warm_start
from harness.session.checks import not_validated
from harness.session.result_tables import write_tables
from harness.session.status import render, status_of
from harness.tracking.tracked_values import best_so_far, event_metrics
from harness.trial.interface import EpochReport, FinalReport, TrialSpec
from reports.frontier import pareto_ranks
from reports.results import load_search
from saat.errors import InputError
from saat.feasibility import Aims
from tests.harness import fakes
from tests.harness.fakes import cut, experiment, finished, outcome

pytestmark = pytest.mark.usefixtures("no_fsync")
LENGTH = {"val/clean_map": "max", "val/robust_map": "max", "val/code_length": "min"}
T_MAP = {"val/clean_map": "max", "val/target_map": "min"}
SECONDS = {"val/robust_map": "max", "val/device_seconds": {"min": 40}}
TARGETED = {"evaluation__attacks": ["mainstay", "hag", "mainstay_targeted"]}
CASES: dict[str, dict[str, Any]] = {
    "three": {"objectives": LENGTH},
    "t-MAP": {"objectives": T_MAP, **TARGETED},
    "seconds": {"objectives": SECONDS, "search__margin": 0.02},
    "three by ehvi": {"objectives": LENGTH, "search__sampler": "ehvi"},
    "three with bounds": {
        "objectives": LENGTH,
        "constraints": {"val/clean_map": {"at_least": 0.4}, "val/code_length": {"at_most": 16}},
        "search__sampler": "nsga2",
    },
}
fake_trial = fakes.fake_trial


def target_map(config: dict[str, Any]) -> float:
    """t-MAP falls with λ."""
    bits, weight = float(config["model"]["bits"]), float(config["defense"]["lambda"])
    return 0.8 - 0.05 * bits / 16 - 0.1 * math.log10(weight)


def measured(
    spec: TrialSpec, *arguments: Any, **options: Any
) -> Iterator[EpochReport | FinalReport]:
    """The fake trials, with the other metrics; a step of the inner PGD costs a second an epoch."""
    config = spec.config.dump()
    steps = config["defense"].get("steps", 0)
    for report in fake_trial(spec, *arguments, **options):
        phase = next(iter(report.metrics)).partition("/")[0]
        more = {f"{phase}/code_length": float(config["model"]["bits"])}
        if isinstance(report, FinalReport) and steps:
            more[f"{phase}/target_map"] = target_map(config)
        epochs = report.epochs if isinstance(report, FinalReport) else report.epoch
        cost = 2.0 + steps * epochs
        metrics = report.metrics | (more if phase != "train" else {})
        yield replace(report, metrics=metrics, cost_s=cost)


@pytest.fixture(autouse=True)
def _with_more_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes, "fake_trial", measured)


def plain_values(record: TrialRecord, names: tuple[str, ...]) -> tuple[float, ...]:
    """Objectives by their formulas, larger is better."""
    config = record.spec.config.dump()
    clean, robust = fakes.objectives(config)
    found = {
        "clean_map": clean,
        "robust_map": robust,
        "code_length": -float(config["model"]["bits"]),
        "target_map": -target_map(config),
        "device_seconds": -(2.0 + 4 * config["defense"]["steps"]),
    }
    return tuple(found[name] for name in names)


def dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_recommended_settings_are_on_the_front_of_the_aims(tmp_path: Path, case: str) -> None:
    searched = experiment(search__num_samples=14, **CASES[case])
    search = finished(tmp_path, searched)
    names = searched.aims.names
    done = [r for r in search.state.of_phase("explore") if r.status == "completed"]
    if searched.constraints:
        done = [
            r
            for r in done
            if fakes.objectives(r.spec.config.dump())[0] >= 0.4 and r.config.model.bits <= 16
        ]
    points = {r.spec.trial_id: plain_values(r, names) for r in done}
    front = {i for i, p in points.items() if not any(dominates(q, p) for q in points.values())}
    assert search.state.recommended
    sampled = {r.spec.trial_id for r in done if r.spec.role == "sampled"}
    assert len(front & sampled) >= 2
    assert set(search.state.recommended) <= front
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(searched.dump(), sort_keys=False))
    found = status_of(tmp_path)
    assert {entry["trial_id"] for entry in found["front"]} == front
    for entry in found["front"]:
        expected = np.abs(points[entry["trial_id"]])
        assert entry["values"] == pytest.approx(expected)
    assert found["hypervolume"] > 0
    assert explored_hypervolume(searched.aims, search.state) == found["hypervolume"]


def test_status_shows_every_objective_in_its_unit(tmp_path: Path) -> None:
    searched = experiment(**CASES["three"])
    finished(tmp_path, searched)
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(searched.dump(), sort_keys=False))
    lines = render(status_of(tmp_path)).splitlines()
    assert "front (clean MAP, robust MAP, code length on validation):" in lines[1]
    best = status_of(tmp_path)["front"][0]
    clean, robust, bits = best["values"]
    assert lines[2].startswith(f"  {100 * clean:5.1f} {100 * robust:5.1f} {bits:5.0f}  ")


@pytest.mark.lengthy
@pytest.mark.parametrize("case", CASES)
def test_a_search_for_other_aims_cut_after_any_event_ends_as_the_undisturbed_one(
    tmp_path: Path, case: str
) -> None:
    searched = experiment(defense__epochs=3, confirm__seeds=1, **CASES[case])
    fails = (3.0, 5.0)
    whole = finished(tmp_path / "whole", searched, fails=fails)
    expected = {i: outcome(r) for i, r in whole.state.trials.items()}
    events = whole.journal.events
    assert "stopped" in {r.status for r in whole.state.trials.values()}
    step = 11 if searched.search.sampler == "ehvi" else 7  # its suggestions take longer
    for count in range(1, len(events) + 1, step):
        folder = tmp_path / str(count)
        cut(events, count, folder)
        again = finished(folder, searched, fails=fails)
        assert {i: outcome(r) for i, r in again.state.trials.items()} == expected, count
        assert again.state.recommended == whole.state.recommended, count


def test_the_study_has_own_directions_and_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[SamplerContext] = []
    searchers: list[Searcher] = []
    make = Searcher.make_sampler

    def remembered(self: Searcher, kind: Any, context: SamplerContext) -> Any:
        contexts.append(context)
        searchers.append(self)
        return make(self, kind, context)

    monkeypatch.setattr(Searcher, "make_sampler", remembered)
    bounds = {"val/target_map": {"at_most": 0.7}, "val/code_length": {"at_most": 16}}
    objectives = T_MAP | {"val/device_seconds": {"min": 40}}
    weights = {"val/target_map": 2, "val/clean_map": 1}
    searched = experiment(
        objectives=objectives, constraints=bounds, search__prefer=weights, **TARGETED
    )
    search = finished(tmp_path, searched)
    assert contexts[0].objectives == (
        SearchedObjective(True, 0.0, 1.0, None),
        SearchedObjective(False, 1.0, 0.0, 0.7),
        SearchedObjective(False, 40.0, None, None),
    )
    assert contexts[0].preference is not None
    assert contexts[0].preference.weights == (1.0, 2.0, 0.0)
    study = searchers[-1].study
    kinds = optuna.study.StudyDirection
    assert study.directions == [kinds.MAXIMIZE, kinds.MINIMIZE, kinds.MINIMIZE]
    completed = [t for t in study.trials if t.state is optuna.trial.TrialState.COMPLETE]
    told = {tuple(t.values) for t in completed}
    names = searched.aims.names
    explored = [r for r in search.state.of_phase("explore") if r.status == "completed"]
    for record in (r for r in explored if r.spec.role == "sampled"):
        assert tuple(abs(v) for v in plain_values(record, names)) in told
    clean, target, seconds = completed[0].user_attrs["epochs"][0]
    assert 0 < clean < 1
    assert target is None or math.isnan(target)
    assert seconds > 1
    assert all("code_length" in t.constraints for t in completed)


def test_the_prior_is_the_papers_default_where_the_space_has_it() -> None:
    assert guesses(experiment()) == {
        "defense.lambda": Guess(1.0, 0.5),
        "defense.eps": Guess(8 / 255, 0.5),
        "defense.steps": Guess(7, 0.5),
    }
    outside = {"defense.lambda": {"float": [2.0, 4.0]}, "pretrain.lr": {"float": [0.1, 0.2]}}
    assert guesses(experiment(space=outside)) == {}
    assert guesses(experiment(search__prior="none")) == {}
    assert guesses(experiment(defense={"method": "none"}, space={})) == {}
    own = {
        "defense.steps": {"value": 3.0, "confidence": "1/4"},
        "defense.eps": {"value": "8/255", "confidence": 1},
    }
    found = guesses(experiment(search__prior=own))
    assert found == {"defense.steps": Guess(3, 0.25), "defense.eps": Guess(8 / 255, 1.0)}
    assert type(found["defense.steps"].value) is int


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> list[TrialRecord]:
    """Trials of a search without early stopping."""
    changes = {"search__num_samples": 20, "search__scheduler": "none", "search__sampler": "random"}
    return finished(tmp_path_factory.mktemp("explored"), experiment(**changes)).state.known()


def by_id(explored: list[TrialRecord], ids: list[str]) -> list[tuple[float, float]]:
    found = {r.spec.trial_id: fakes.objectives(r.spec.config.dump()) for r in explored}
    return [found[trial_id] for trial_id in ids]


def test_weights_order_a_front_by_their_sum(explored: list[TrialRecord]) -> None:
    for clean_weight, robust_weight in ((1, 0), (0, 1), (1, 3)):
        prefer = {"val/clean_map": clean_weight, "val/robust_map": robust_weight}
        searched = experiment(search__prefer=prefer, confirm__max_configs=4)
        chosen = by_id(explored, recommend(searched, explored))
        points = eligible_values(searched.aims, explored)
        front = points[pareto_ranks(points) == 0]
        sampled = {
            fakes.objectives(r.spec.config.dump()) for r in explored if r.spec.role != "default"
        }
        scale = front.max(axis=0)
        scores = sorted(
            (
                clean_weight * clean / scale[0] + robust_weight * robust / scale[1]
                for clean, robust in map(tuple, front)
                if (clean, robust) in sampled
            ),
            reverse=True,
        )
        own = [
            clean_weight * clean / scale[0] + robust_weight * robust / scale[1]
            for clean, robust in chosen
        ]
        least = min(len(own), len(scores))
        assert own[:least] == pytest.approx(scores[:least])
        assert least >= 3


def test_settings_that_keep_a_preferred_bound_come_first(explored: list[TrialRecord]) -> None:
    plain = by_id(explored, recommend(experiment(confirm__max_configs=4), explored))
    cleans = sorted(clean for clean, _ in plain)
    least = cleans[-1]  # the cleanest of those chosen without it
    searched = experiment(
        search__prefer={"val/clean_map": {"at_least": least}}, confirm__max_configs=30
    )
    chosen = by_id(explored, recommend(searched, explored))
    keeps = [clean >= least for clean, _ in chosen]
    assert keeps == sorted(keeps, reverse=True)
    assert 0 < sum(keeps) < len(keeps)
    # It is no constraint: the same settings may be chosen.
    every = by_id(explored, recommend(experiment(confirm__max_configs=30), explored))
    assert sorted(every) == sorted(chosen)


def test_trials_are_compared_by_what_validation_measures(tmp_path: Path) -> None:
    assert not_validated(experiment(**CASES["three"])) == []
    searched = experiment(**CASES["t-MAP"])
    (note,) = not_validated(searched)
    assert "worst t-MAP: measured at the end" in note
    assert note.endswith("pareto_asha compares trials by clean MAP")
    assert (
        "compares" not in not_validated(experiment(search__scheduler="none", **CASES["t-MAP"]))[0]
    )
    search = finished(tmp_path, searched)
    # At the rung the trial with the largest clean MAP goes on.
    stopped = [r for r in search.state.of_phase("explore") if r.status == "stopped"]
    assert stopped
    assert "val/target_map" not in stopped[0].metrics


@pytest.mark.parametrize(
    "scalarisation", ["mean", "hypervolume", "robust", {"val/device_seconds": 1, "robust": 0.5}]
)
def test_asha_weighs_any_objective(tmp_path: Path, scalarisation: Any) -> None:
    changes = {
        "search__scheduler": "asha",
        "search__scalarisation": scalarisation,
        "search__margin": None,
        "objectives": SECONDS,
    }
    search = finished(tmp_path, experiment(**changes))
    assert search.state.recommended
    assert "stopped" in {r.status for r in search.state.trials.values()}


def test_tables_and_tracker_have_the_objectives(tmp_path: Path) -> None:
    searched = experiment(**CASES["seconds"])
    search = finished(tmp_path, searched)
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(searched.dump(), sort_keys=False))
    write_tables(tmp_path, {"protocol_hash": "protocol"}, search.state)
    trials = load_search(tmp_path).trials.set_index("trial_id")
    for record in search.state.of_phase("explore"):
        if record.status == "completed":
            row = trials.loc[record.spec.trial_id]
            assert row["metric.reattack/device_seconds"] == row["cost_s"] == record.cost_s
    aims = Aims.of(load_search(tmp_path).experiment)
    assert aims == searched.aims
    record = search.state.completed[0]
    best = best_so_far(aims, record, len(record.epochs))
    assert best["best/device_seconds"] == record.epochs[0]["cost_s"]
    assert set(best) == {"best/robust_map", "best/device_seconds"}
    sent = event_metrics(aims, record.epochs[0])
    assert sent["val/device_seconds"] == record.epochs[0]["cost_s"]
    assert "val/device_seconds" not in event_metrics(Aims.of({}), record.epochs[0])


def test_an_earlier_search_for_other_aims_gives_its_trials(tmp_path: Path) -> None:
    old = experiment(search__sampler="random")
    finished(tmp_path / "old", old)

    def again(name: str) -> Experiment:
        return experiment(
            **{"search__sampler": "random", **CASES[name], "search__warm_start": ["old"]}
        )

    taken = {
        name: warm_start(again(name), tmp_path, fakes.FINGERPRINT, "protocol")["trials"]
        for name in CASES
    }
    known = {r.spec.trial_id for r in finished(tmp_path / "b", old).state.of_phase("explore")}
    for name, trials in taken.items():
        state = SearchState([{"event": "warm_started", "time": 0.0, "trials": trials}])
        assert trials, name
        assert set(state.warm) <= known
        aims = again(name).aims
        assert all(aims.is_measured(record.metrics) for record in state.warm.values())


@pytest.mark.parametrize("case", CASES)
def test_a_stored_file_has_the_same_aims(tmp_path: Path, case: str) -> None:
    prior = {"defense.steps": {"value": 3, "confidence": 0.25}}
    prefer = {"val/robust_map" if "t-MAP" not in case else "val/target_map": 2}
    searched = experiment(**CASES[case], search__prior=prior, search__prefer=prefer)
    text = yaml.safe_dump(searched.dump(), sort_keys=False)
    (tmp_path / "experiment.yaml").write_text(text)
    stored, missing = load_stored(tmp_path / "experiment.yaml")
    assert (stored.dump(), stored.aims, missing) == (searched.dump(), searched.aims, {})
    assert guesses(stored) == guesses(searched)


def test_a_stored_search_of_an_earlier_version_goes_on_without_a_prior(tmp_path: Path) -> None:
    content = experiment().dump()
    for key in ("prior", "prefer"):
        del content["search"][key]
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(content))
    stored, missing = load_stored(tmp_path / "experiment.yaml")
    assert (stored.search.prior, stored.search.prefer, missing) == ("none", {}, {})


def test_no_scheduler_can_compare_what_validation_does_not_measure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Aims, "validated", ())
    with pytest.raises(InputError, match=r"validation measures none of .* none$"):
        experiment(**CASES["t-MAP"])
    assert experiment(search__scheduler="none", **CASES["t-MAP"]).aims.names[1] == "target_map"


def test_the_default_aims_decide_as_before_there_were_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journal and recommendation of a search whose file names no objectives, to the byte."""
    monkeypatch.setattr(fakes, "fake_trial", fake_trial)
    searched = experiment(search__sampler="random", search__num_samples=14)
    search = finished(tmp_path, searched)
    without_clock = [
        {key: value for key, value in event.items() if key not in ("time", "crc")}
        for event in search.journal.events
    ]
    for event in without_clock:
        if event["event"] == "suggested":
            setting = fakes.as_recorded(event["trial"]["setting"])
            event["trial"] = {**event["trial"], "setting": setting}
    text = json.dumps(without_clock, sort_keys=True).encode()
    assert hashlib.sha256(text).hexdigest()[:16] == "4d51a2f3ce7cb104"
    assert search.state.recommended == ["57a5ce4525-explore-0", "50fc23f006-explore-0"]

"""The search as a state machine, driven by a fake that trains nothing."""

import math
from pathlib import Path
from typing import Any

import pytest

from harness.search.plan import deciding_epochs
from harness.search.search import Pause
from harness.trial.interface import EpochReport
from reports.frontier import pareto_ranks
from saat.metrics import Phase
from tests.harness.fakes import (
    SPACE,
    cut,
    drive,
    experiment,
    finished,
    objectives,
    open_search,
    outcome,
)

pytestmark = pytest.mark.usefixtures("no_fsync")


def test_the_papers_default_runs_first_to_the_end_once_per_bit_length(tmp_path: Path) -> None:
    narrow = SPACE | {"defense.lambda": {"float": [3.0, 4.0]}, "defense.eps": {"float": [0.5, 0.6]}}
    search = finished(tmp_path, experiment(space=narrow))
    explored = search.state.of_phase("explore")
    defaults = explored[:2]
    assert [r.spec.role for r in explored] == ["default"] * 2 + ["sampled"] * 7
    assert [r.config.model.bits for r in defaults] == [16, 32]
    for record in defaults:
        defense = record.spec.config.dump()["defense"]
        published = (defense["lambda"], defense["mu"], defense["eps"], defense["steps"])
        assert published == (1.0, 1e-4, 8 / 255, 7)
        assert record.status == "completed"
        assert len(record.epochs) == 4


def test_the_default_is_not_stopped_even_where_everyone_dominates_it(tmp_path: Path) -> None:
    search = finished(tmp_path, experiment(defense__epochs=9), max_concurrent=9)
    defaults = [r for r in search.state.of_phase("explore") if r.spec.role == "default"]
    assert {r.status for r in defaults} == {"completed"}
    assert any(r.status == "stopped" for r in search.state.of_phase("explore"))


def test_no_setting_runs_twice_and_the_budget_is_spent(tmp_path: Path) -> None:
    search = finished(tmp_path, experiment(search__num_samples=12), max_concurrent=3)
    explored = search.state.of_phase("explore")
    assert len(explored) == 14
    assert len({r.config_hash for r in explored}) == 14


@pytest.mark.parametrize("sampler", ["random", "tpe", "ehvi"])
def test_a_small_discrete_space_is_searched_through_and_the_search_ends(
    tmp_path: Path, sampler: str
) -> None:
    space = {
        "defense.lambda": {"choice": [0.5, 1.0, 2.0]},
        "defense.steps": {"int": [6, 7]},
        "defense.step_size": {"choice": ["auto", 2 / 255]},
    }
    search = finished(
        tmp_path, experiment(space=space, search__num_samples=50, search__sampler=sampler)
    )
    explored = search.state.of_phase("explore")
    assert len(explored) == 12  # the paper's default is one of the 3 × 2 × 2 points
    assert search.state.stopped_exploring == "every setting of the space was tried"
    assert search.state.finished


@pytest.mark.lengthy
@pytest.mark.parametrize("sampler", ["ehvi", "tpe", "random"])
@pytest.mark.parametrize("seed", range(3))
def test_no_point_of_a_grid_is_missed_or_trained_twice(
    tmp_path: Path, sampler: str, seed: int
) -> None:
    """With several trials at once, and steps whose last value rounding puts above the bound."""
    space = {
        "defense.steps": {"int": [5, 8]},
        "model.bits": {"choice": [16, 32], "when": {"defense.steps": [6, 8]}},
        "defense.lambda": {"float": [0.1, 0.3], "step": 0.1},
    }
    asked = {"num_samples": 40, "sampler": sampler, "grace_period": 1}
    changes = {f"search__{key}": value for key, value in asked.items()}
    searched = experiment(seed=seed, space=space, **changes)
    search = finished(tmp_path, searched, max_concurrent=4)
    sampled = [r for r in search.state.of_phase("explore") if r.spec.role == "sampled"]
    assert len(sampled) == 2 * 3 * 2 + 2 * 3
    assert len({round(r.point["defense.lambda"], 9) for r in sampled}) == 3
    assert search.state.stopped_exploring == "every setting of the space was tried"


def test_stopped_trials_say_why_and_do_no_further_epoch(tmp_path: Path) -> None:
    search = finished(tmp_path, experiment())
    stopped = [r for r in search.state.trials.values() if r.status == "stopped"]
    assert stopped
    for record in stopped:
        last = record.epochs[-1]["epoch"]
        assert last in (1, 2)
        assert record.stop_reason == f"not among the best 1/2 at epoch {last}"
        assert not any(name.startswith("reattack/") for name in record.metrics)


def test_without_early_stopping_every_trial_reaches_the_end(tmp_path: Path) -> None:
    search = finished(tmp_path, experiment(search__scheduler="none"))
    assert {r.status for r in search.state.trials.values()} == {"completed"}


@pytest.mark.parametrize("most", [1, 2, 5, 50])
def test_the_best_fronts_are_recommended_and_never_the_default(tmp_path: Path, most: int) -> None:
    searched = experiment(search__scheduler="none", confirm__max_configs=most)
    search = finished(tmp_path, searched)
    explored = search.state.of_phase("explore")
    ranks = pareto_ranks([objectives(r.spec.config.dump()) for r in explored])
    rank_of = {
        r.spec.trial_id: rank
        for r, rank in zip(explored, ranks, strict=True)
        if r.spec.role == "sampled"
    }
    recommended = search.state.recommended
    assert recommended is not None
    assert len(recommended) == len(set(recommended)) == min(most, len(rank_of))
    found = [rank_of[trial_id] for trial_id in recommended]
    assert found == sorted(rank_of.values())[: len(found)]


def test_settings_below_a_constraint_are_never_recommended(tmp_path: Path) -> None:
    free = finished(tmp_path / "free", experiment(search__scheduler="none"))
    clean = {
        r.spec.trial_id: objectives(r.spec.config.dump())[0] for r in free.state.of_phase("explore")
    }
    assert free.state.recommended
    floor = min(clean[i] for i in free.state.recommended) + 1e-6
    bound = {"val/clean_map": {"at_least": floor}}
    searched = experiment(search__scheduler="none", search__sampler="random", constraints=bound)
    held = finished(tmp_path / "held", searched)
    by_id = held.state.trials
    assert held.state.recommended
    for trial_id in held.state.recommended:
        assert by_id[trial_id].metrics["reattack/clean_map"] >= floor
    never = experiment(constraints={"val/clean_map": {"at_least": 1.0}})
    assert finished(tmp_path / "never", never).state.recommended == []


def test_all_settings_are_confirmed_under_the_same_fresh_seeds(tmp_path: Path) -> None:
    search = finished(tmp_path, experiment(seed=5))
    confirmed = search.state.of_phase("confirm")
    seeds: dict[str, list[int]] = {}
    for record in confirmed:
        seeds.setdefault(record.config_hash, []).append(record.spec.seed)
    assert set(map(tuple, seeds.values())) == {(6, 7)}
    roles = {r.spec.role for r in confirmed}
    assert roles == {"recommended", "default", "undefended"}
    lengths = {
        role: {r.config.model.bits for r in confirmed if r.spec.role == role} for role in roles
    }
    order = [record.spec.seed for record in confirmed]
    assert order == sorted(order), "seed by seed, so that an early end stays balanced"
    assert lengths["recommended"] == lengths["default"] == lengths["undefended"]
    assert all(r.status == "completed" and "test/clean_map" in r.metrics for r in confirmed)


def test_without_confirmation_the_search_ends_after_exploring(tmp_path: Path) -> None:
    search = finished(tmp_path, experiment(confirm__max_configs=0))
    assert not search.state.of_phase("confirm")
    assert search.state.finished


def test_failed_trials_keep_their_reason_and_the_others_go_on(tmp_path: Path) -> None:
    searched = experiment(search__scheduler="none")
    search = finished(tmp_path, searched, max_concurrent=3, fails=(2.0, 10.0))
    explored = search.state.of_phase("explore")
    failed = [r for r in explored if r.status == "failed"]
    assert failed
    for record in explored:
        assert (record.status == "failed") == (
            record.spec.config.dump()["defense"]["lambda"] >= 2.0
        )
    assert {r.stop_reason for r in failed} == {"saat loss is nan in epoch 2; lower lr"}
    assert search.state.finished


def test_a_search_in_which_every_trial_fails_still_ends(tmp_path: Path) -> None:
    searched = experiment(search__scheduler="none")
    search = finished(tmp_path, searched, fails=(0.0, math.inf))
    explored = search.state.of_phase("explore")
    assert {r.status for r in explored} == {"failed"}
    assert len(explored) == 9
    assert search.state.recommended == []
    assert search.state.finished


def test_training_alone_is_one_trial_on_test_queries(tmp_path: Path) -> None:
    search = finished(tmp_path, experiment(seed=3), plan="train")
    (record,) = search.state.trials.values()
    assert (record.spec.phase, record.spec.role, record.spec.seed) == ("train", "train", 3)
    assert "test/robust_map" in record.metrics
    assert search.state.recommended is None


DISCRETE = {
    "model.bits": {"choice": [16, 32]},
    "defense.lambda": {"choice": [0.5, 1.0, 2.0, 4.0]},
    "defense.steps": {"int": [7, 9]},
}
CASES: list[dict[str, Any]] = [
    {},
    {"constraints": {"val/clean_map": {"at_least": 0.6}}},
    # Suggestions repeat here, and those that were thrown away leave no trace in the journal.
    {"space": DISCRETE, "search__num_samples": 14, "search__scheduler": "none"},
    {"space": DISCRETE, "search__num_samples": 14, "search__sampler": "nsga2"},
    {"space": DISCRETE, "search__num_samples": 14, "search__sampler": "random"},
    {"space": DISCRETE, "search__num_samples": 14, "search__sampler": "ehvi"},
    {"space": SPACE, "search__num_samples": 12, "search__sampler": "ehvi"},
    # The first epoch is not validated, the rung and the last one are.
    {"space": SPACE, "validation__every": 5, "search__grace_period": 2, "search__sampler": "ehvi"},
]


@pytest.mark.lengthy
@pytest.mark.parametrize("changes", CASES)
def test_a_search_cut_after_any_event_ends_as_the_undisturbed_one(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    searched = experiment(defense__epochs=3, confirm__seeds=1, **changes)
    fails = (3.0, 5.0)
    whole = finished(tmp_path / "whole", searched, fails=fails)
    expected = {i: outcome(r) for i, r in whole.state.trials.items()}
    events = whole.journal.events
    statuses = {r.status for r in whole.state.trials.values()}
    assert "completed" in statuses
    assert {"stopped", "failed"} & statuses
    # Every event, but where a suggestion takes long.
    costly = {"ehvi": 11}.get(changes.get("search__sampler", ""), 5)
    step = costly if "space" in changes else 1
    for count in range(1, len(events) + 1, step):
        folder = tmp_path / str(count)
        cut(events, count, folder)
        again = finished(folder, searched, fails=fails)
        assert {i: outcome(r) for i, r in again.state.trials.items()} == expected, count
        assert again.state.recommended == whole.state.recommended, count
        assert list(again.state.trials) == list(whole.state.trials), count
        assert [e["event"] for e in again.journal.events] == [e["event"] for e in events], count


def test_trials_are_judged_and_stopped_at_validated_epochs_alone(tmp_path: Path) -> None:
    searched = experiment(defense__epochs=8, validation__every=3, search__grace_period=2)
    assert deciding_epochs(searched) == (2, 4)
    search = finished(tmp_path, searched)
    for record in search.state.of_phase("explore"):
        known = [e["epoch"] for e in record.epochs if Phase.VALIDATION.of(e["metrics"])]
        assert known == [epoch for epoch in (2, 3, 4, 6, 8) if epoch <= len(record.epochs)]
    ends = {len(r.epochs) for r in search.state.trials.values() if r.status == "stopped"}
    assert ends
    assert ends <= {2, 4}
    # A rung has the same order whichever epochs lie between: the same trials are stopped there.
    every = finished(tmp_path / "every", experiment(defense__epochs=8, search__grace_period=2))
    assert {
        (r.spec.trial_id, r.status, len(r.epochs)) for r in every.state.of_phase("explore")
    } == {(r.spec.trial_id, r.status, len(r.epochs)) for r in search.state.of_phase("explore")}


def test_three_at_once_and_cut_anywhere_every_trial_is_there_once_and_ended(
    tmp_path: Path,
) -> None:
    searched = experiment(defense__epochs=3, confirm__seeds=1)
    whole = finished(tmp_path / "whole", searched, max_concurrent=3)
    events = whole.journal.events
    for count in range(1, len(events) + 1, 3):
        folder = tmp_path / str(count)
        cut(events, count, folder)
        search = open_search(folder, searched, max_concurrent=3)
        begun = drive(search)
        records = search.state.trials.values()
        assert search.state.finished
        assert len(begun) == len(set(begun))
        assert all(r.status in ("completed", "stopped") for r in records)
        assert [r.spec.number for r in records] == list(range(len(records)))
        explored = search.state.of_phase("explore")
        assert len({r.config_hash for r in explored}) == len(explored) == 9


def test_a_running_trial_is_taken_up_before_a_new_one_and_its_old_epochs_count_once(
    tmp_path: Path,
) -> None:
    searched = experiment()
    whole = finished(tmp_path / "whole", searched)
    cut(whole.journal.events, 4, tmp_path / "cut")  # started, suggested, two epochs
    search = open_search(tmp_path / "cut", searched)
    first = next(iter(whole.state.trials))
    spec = search.next_trial()
    assert not isinstance(spec, Pause)
    assert spec.trial_id == first
    before = len(search.journal.events)
    record = search.state.trials[first]
    (old,) = [e for e in record.epochs if e["epoch"] == 1]
    assert not search.on_epoch(first, EpochReport(1, old["metrics"], 1.0, 3.0))
    assert len(search.journal.events) == before
    assert search.next_trial() is Pause.WAIT
    search.journal.close()


def test_the_planned_number_of_trials_is_the_number_there_will_be(tmp_path: Path) -> None:
    searched = experiment(space={"defense.lambda": {"float": [0.1, 10.0], "log": True}})
    search = open_search(tmp_path, searched)
    planned = sum(search.planned())
    drive(search)
    assert planned == len(search.state.trials) == sum(search.planned())

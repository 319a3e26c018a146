"""Replays of searches over a recording: the accounting, against plain sums over the table."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.efficiency.compare import compare
from benchmarks.efficiency.design import design, positions
from benchmarks.efficiency.kept import KeptReplays
from benchmarks.efficiency.live import Prices, live, problem
from benchmarks.efficiency.live import table as live_table
from benchmarks.efficiency.record import pretrain, pretrainings, read_lines, tasks, train
from benchmarks.efficiency.recording import Recording, write_recording
from benchmarks.efficiency.replay import RecordedSearcher, Replay, replay, with_search
from benchmarks.efficiency.summary import RANDOM, draw, markdown, summary
from harness.experiment.config import Experiment
from harness.experiment.configs import config_at
from harness.journal.state import config_hash
from saat.errors import InputError
from tests.harness.fakes import SPACE, finished
from tests.harness.tiny import tiny

EPOCHS, SEEDS, PRETRAINING = 9, 3, 5.0
Line = dict[str, Any]


def experiment(**search: Any) -> Experiment:
    plain = {"space": SPACE, "defense.epochs": EPOCHS, "confirm.max_configs": 0}
    asked = {"num_samples": 20, "grace_period": 1, "reduction_factor": 3} | search
    return tiny(plain | {f"search.{key}": value for key, value in asked.items()})


def worth(point: dict[str, Any], seed: int) -> tuple[float, float]:
    """(clean, robust): good where PGD takes many steps, whatever the rest; λ trades them off."""
    quality = 0.2 + 0.06 * point["defense.steps"]
    trade = (math.log10(point["defense.lambda"]) + 1) / 2
    noise = 0.002 * seed
    return quality * (1 - 0.4 * trade) + noise, quality * (0.6 + 0.4 * trade) - noise


def lines(searched: Experiment, count: int, early: float = 1.0) -> list[Line]:
    """A recording in which values after an epoch tell (``early`` 1) or mislead (−1) of the end."""
    out: list[Line] = [
        {"name": f"u{bits}{seed}", "pretrained": bits, "seed": seed, "cpu_s": PRETRAINING}
        for bits in (16, 32)
        for seed in range(SEEDS)
    ]
    for number, (role, point) in enumerate(design(searched, count)):
        for seed in range(SEEDS):
            clean, robust = worth(point, seed)
            epochs = [
                {
                    "val/clean_map": 0.5 + early * (clean - 0.5) * epoch / EPOCHS,
                    "val/robust_map": 0.5 + early * (robust - 0.5) * epoch / EPOCHS,
                    "val/zero_grad": 0.0,
                    "cpu_s": 1.0 + 0.1 * point["defense.steps"],
                }
                for epoch in range(1, EPOCHS + 1)
            ]
            final = {"reattack/clean_map": clean, "reattack/robust_map": robust, "cpu_s": 2.0}
            facts = {"setting": number, "role": role, "point": point}
            full_hash = config_hash(config_at(searched, point), "data")
            names = {"name": f"{number}-{seed}", "seed": seed, "config_hash": full_hash}
            out.append(names | facts | {"epochs": epochs, "final": final})
    return out


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "table.parquet"
    write_recording(path, experiment(), lines(experiment(), 96), SEEDS)
    return path


@pytest.fixture(scope="module")
def recording(table: Path) -> Recording:
    return Recording(table, experiment())


@pytest.fixture(scope="module")
def frame(table: Path) -> pd.DataFrame:
    return pd.read_parquet(table)


def plain_hypervolume(points: np.ndarray) -> float:
    """Area above the origin, swept from the best clean MAP down."""
    area = height = 0.0
    for clean, robust in sorted(map(tuple, points), reverse=True):
        area += clean * max(0.0, robust - height)
        height = max(height, robust)
    return area


def test_the_table_gives_back_what_was_recorded(recording: Recording) -> None:
    written = [line for line in lines(experiment(), 96) if "setting" in line]
    assert len(recording.points) == 98
    assert len(recording.sampled) == 96, "both defaults lie outside the space: their step size"
    for line in written:
        assert recording.points[line["config_hash"]] == line["point"]
        assert recording.hash_of(line["point"]) == line["config_hash"]
        run = recording.runs[line["config_hash"], line["seed"]]
        assert [e["cpu_s"] for e in line["epochs"]] == list(run.seconds)
        assert [e["val/robust_map"] for e in line["epochs"]] == [
            metrics["val/robust_map"] for metrics in run.validation
        ]
        assert run.final == {k: v for k, v in line["final"].items() if k != "cpu_s"}
        assert run.final_seconds == 2.0
    assert recording.pretraining == {(b, s): PRETRAINING for b in (16, 32) for s in range(SEEDS)}


def test_a_setting_without_all_seeds_is_left_out(tmp_path: Path) -> None:
    written = lines(experiment(), 4)
    write_recording(tmp_path / "t.parquet", experiment(), written[:-1], SEEDS)
    left = Recording(tmp_path / "t.parquet", experiment())
    assert len(left.points) == 5
    assert written[-1]["config_hash"] not in left.points


def test_a_recording_goes_on_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    path.write_text('{"name": "a"}\n{"name": "b"}\n{"na')
    assert [line["name"] for line in read_lines(path)] == ["a", "b"]
    with path.open("a") as file:
        file.write(json.dumps({"name": "c"}) + "\n")
    assert [line["name"] for line in read_lines(path)] == ["a", "b", "c"]


@pytest.mark.lengthy
@pytest.mark.parametrize("seed", [0, 4])
@pytest.mark.parametrize("scheduler", ["none", "pareto_asha"])
def test_the_curve_is_the_hypervolume_of_seed_averages(
    scheduler: str, seed: int, recording: Recording, frame: pd.DataFrame
) -> None:
    ran = replay(with_search(experiment(scheduler=scheduler), seed, {}), recording, 3)
    last = frame[frame["epoch"] == EPOCHS]
    means = last.groupby("config_hash")[
        ["metric.reattack/clean_map", "metric.reattack/robust_map"]
    ].mean()
    assert len(ran.settings) == len(set(ran.settings)) == len(ran.hypervolume)
    for count in range(1, len(ran.settings) + 1):
        found = means.loc[list(ran.settings[:count])].to_numpy()
        assert ran.hypervolume[count - 1] == pytest.approx(plain_hypervolume(found))


def test_without_a_scheduler_every_trial_is_paid_for_in_full(
    recording: Recording, frame: pd.DataFrame
) -> None:
    ran = replay(experiment(scheduler="none", sampler="random"), recording, 1)
    assert ran.trials == len(ran.settings) == 22
    mine = frame[(frame["seed"] == 0) & frame["config_hash"].isin(ran.settings)]
    trained = mine["cpu_s"].sum() + mine["reattack_cpu_s"].sum()
    assert ran.total_cost == pytest.approx(trained + 2 * PRETRAINING)
    assert ran.cost[-1] == pytest.approx(ran.total_cost), "one worker: the last to end is the last"
    assert ran.elapsed == pytest.approx(ran.total_cost)


def test_stopped_trials_are_paid_for_until_they_stop(recording: Recording) -> None:
    ran = replay(experiment(num_samples=60, sampler="random"), recording, 4)
    assert len(ran.settings) < ran.trials == 62
    full = replay(experiment(num_samples=60, sampler="random", scheduler="none"), recording, 4)
    assert ran.total_cost < full.total_cost
    # Each of the trials that did not complete did at least one epoch.
    least = sum(recording.runs[h, 0].seconds[0] for h in ran.settings)
    assert ran.total_cost > least + (ran.trials - len(ran.settings)) * 1.1
    for one in (ran, full):
        assert one.total_cost / 4 <= one.elapsed <= one.total_cost
        assert (np.diff(one.cost) > 0).all()
        assert (np.diff(one.hypervolume) >= 0).all()


def test_a_replay_is_a_function_of_its_seed(recording: Recording) -> None:
    first, again, other = (
        replay(with_search(experiment(num_samples=10), seed, {}), recording, 4)
        for seed in (3, 3, 6)
    )
    assert first.settings == again.settings
    assert first.cost.tolist() == again.cost.tolist()
    assert first.settings != other.settings, "the same recorded seed, another search"


def test_workers_work_at_the_same_time(recording: Recording) -> None:
    alone, together = (
        replay(experiment(scheduler="none", sampler="random"), recording, n) for n in (1, 4)
    )
    assert set(alone.settings) == set(together.settings)
    assert together.elapsed < alone.elapsed / 2
    assert together.total_cost == pytest.approx(alone.total_cost)


def test_suggestions_become_the_nearest_setting_not_yet_taken(recording: Recording) -> None:
    space, used = recording.space, set[str]()
    wanted = {
        "model.bits": 16,
        "defense.lambda": 1.0,
        "defense.eps": 8 / 255,
        "defense.steps": 5,
    }
    places = {h: positions(space, recording.points[h]) for h in recording.sampled}
    for _ in range(len(recording.sampled)):
        nearest, distance = recording.nearest(wanted, used)
        gaps = {
            h: float(np.linalg.norm(place - positions(space, wanted)))
            for h, place in places.items()
            if h not in used
        }
        assert nearest not in used
        assert distance == pytest.approx(gaps[nearest])
        assert distance == pytest.approx(min(gaps.values()))
        used.add(nearest)
    assert recording.nearest(wanted, used)[0] in used


def test_no_setting_is_suggested_twice(recording: Recording) -> None:
    searcher = RecordedSearcher.over(recording, experiment(sampler="random"))
    points = [searcher.suggest(number)[0] for number in range(len(recording.sampled))]
    assert {recording.hash_of(point) for point in points} == set(recording.sampled)


def test_the_sampler_learns_of_the_settings_that_were_recorded(recording: Recording) -> None:
    searcher = RecordedSearcher.over(recording, experiment())
    told = {}
    for number in range(12):
        point, _ = searcher.suggest(number)
        searcher.tell(number, "completed", worth(point, 0))
        told[number] = (point, list(worth(point, 0)))
    completed = [t for t in searcher.study.trials if t.state.name == "COMPLETE"]
    assert [(t.params, t.values) for t in completed] == list(told.values())


def test_every_beginning_of_a_design_covers_the_space() -> None:
    points = [point for role, point in design(experiment(), 64) if role == "sampled"]
    assert points[:32] == [p for role, p in design(experiment(), 32) if role == "sampled"]
    for count in (16, 32, 64):
        places = np.array([positions(experiment().space, p) for p in points[:count]])
        shares = np.histogram(places[:, 1], bins=8, range=(0, 1))[0]
        assert shares.tolist() == [count // 8] * 8
    conditional = SPACE | {"defense.mu": {"float": [0, 1], "when": {"model.bits": 16}}}
    searched = tiny({"space": conditional})
    with pytest.raises(ValueError, match="without when"):
        design(searched, 4)


SEARCHES = {RANDOM: {}, "pareto": {"sampler": "random"}}


def shares(path: Path, early: float) -> pd.DataFrame:
    write_recording(path, experiment(), lines(experiment(), 128, early), SEEDS)
    replays = compare(experiment(), path, range(3), trials=30, workers=3, methods=SEARCHES)
    found = summary(replays, best=1.0)
    return found[found["method"] == "pareto"]


@pytest.mark.lengthy
def test_stopping_early_wins_where_early_values_tell_the_end(tmp_path: Path) -> None:
    telling = shares(tmp_path / "telling.parquet", 1.0)
    assert telling["cost_share"].median() < 0.6
    assert not telling["behind"].any()


@pytest.mark.lengthy
def test_stopping_early_loses_where_early_values_mislead(tmp_path: Path) -> None:
    misleading = shares(tmp_path / "misleading.parquet", -1.0)
    assert misleading["behind"].mean() > 0.5
    assert np.isinf(misleading["cost_share"]).mean() > 0.5


@pytest.mark.slow
def test_a_comparison_adds_what_is_missing(table: Path, tmp_path: Path) -> None:
    def done(seeds: range, *methods: str) -> list[dict[str, Replay]]:
        kept = KeptReplays(tmp_path / "replays.jsonl", {"trials": 20})
        chosen = {name: SEARCHES[name] for name in methods}
        return compare(experiment(), table, seeds, 20, 3, chosen, kept=kept)

    def lines_kept() -> list[str]:
        return (tmp_path / "replays.jsonl").read_text().splitlines()

    first = done(range(1))
    assert [set(one) for one in first] == [{RANDOM}]
    before = lines_kept()
    again = done(range(2), "pareto")
    assert [set(one) for one in again] == [{RANDOM, "pareto"}] * 2
    assert lines_kept()[: len(before)] == before, "random search was not replayed again"
    assert len(lines_kept()) == 1 + 4
    plain = compare(experiment(), table, range(2), 20, 3, SEARCHES)
    for one, other in zip(again, plain, strict=True):
        for name in SEARCHES:
            assert one[name].settings == other[name].settings
            assert one[name].cost.tolist() == other[name].cost.tolist()
    with (tmp_path / "replays.jsonl").open("a") as file:
        file.write('{"method": "cut of')
    assert [set(one) for one in done(range(2), "pareto")] == [{RANDOM, "pareto"}] * 2
    with pytest.raises(InputError, match="choose another folder"):
        KeptReplays(tmp_path / "replays.jsonl", {"trials": 30})


@pytest.mark.lengthy
def test_a_training_is_recorded_as_it_is_replayed(tmp_path: Path) -> None:
    searched = tiny({"space": SPACE, "defense.epochs": 2, "confirm.max_configs": 0})
    raw = searched.dump()
    models = [pretrain(task, raw, tmp_path) for task in pretrainings(searched, 1)]
    # Defaults have seven steps, the design has few.
    trained = [train(task, raw, tmp_path) for task in tasks(searched, 2, 1)[-2:]]
    write_recording(tmp_path / "table.parquet", searched, [*models, *trained], 1)
    found = Recording(tmp_path / "table.parquet", searched)
    assert len(found.sampled) == 2
    for line in trained:
        run = found.runs[line["config_hash"], 0]
        assert len(run.validation) == 2
        assert {"reattack/clean_map", "reattack/robust_map"} <= set(run.final)
        assert all(seconds > 0 for seconds in (*run.seconds, run.final_seconds))
    assert set(found.pretraining) >= {(line["point"]["model.bits"], 0) for line in trained}


def ran(cost: list[float], volume: list[float], total: float) -> Replay:
    return Replay(np.array(cost), np.array(volume), total, total, 9, ("a",) * len(cost), 0.1)


def test_the_summary_reads_the_curves_at_equal_cost() -> None:
    replays = [
        {
            RANDOM: ran([10, 50, 100], [0.1, 0.2, 0.4], 100),
            "fast": ran([20, 90], [0.4, 0.5], 110),
            "late": ran([50, 120], [0.3, 0.6], 120),
        }
    ]
    found = summary(replays, best=0.8).set_index("method")
    assert found["cost_share"].tolist() == [1.0, 0.2, np.inf]
    assert found["hypervolume"].tolist() == [0.4, 0.5, 0.3]
    assert found["behind"].tolist() == [False, False, True]
    assert found["of_best"].tolist() == pytest.approx([0.5, 0.625, 0.375])
    text = markdown(found.reset_index())
    assert "| fast | 20 % |" in text
    assert "| late | never |" in text
    assert "1 of 1" in text
    [axes] = draw(replays, best=0.8).axes
    assert [line.get_label() for line in axes.lines][:3] == [RANDOM, "fast", "late"]
    assert axes.get_ylim() == (0, 100), "late has nothing after a third of the compute"


def test_a_real_search_is_priced_by_the_recording(tmp_path: Path, table: Path) -> None:
    """Epochs cost 1 + steps / 10, a re-attack 2 and the model of each bit length 5 seconds."""
    searched = experiment(num_samples=12, grace_period=3, sampler="random")
    search = finished(tmp_path / "one", searched)
    state, prices = search.state, Prices(table)
    found = live(state, prices)
    records = state.of_phase("explore")
    ended = {record.status for record in records}
    assert ended == {"completed", "stopped"}
    for count in range(1, len(records) + 1):
        begun = records[:count]
        spent = sum(len(r.epochs) * (1 + r.point["defense.steps"] / 10) for r in begun)
        spent += sum(2.0 for r in begun if r.status == "completed")
        spent += PRETRAINING * len({r.point["model.bits"] for r in begun})
        assert found.cost[count - 1] == pytest.approx(spent)
        values = [
            [r.metrics[f"reattack/{name}_map"] for name in ("clean", "robust")]
            for r in begun
            if r.status == "completed"
        ]
        assert found.hypervolume[count - 1] == pytest.approx(plain_hypervolume(np.array(values)))
    assert len(found.settings) == sum(r.status == "completed" for r in records)
    assert problem(search.journal.events, prices) == ""
    assert problem(search.journal.events[:-1], prices) == "not finished"
    several = finished(tmp_path / "several", searched, max_concurrent=2).journal.events
    assert problem(several, prices).startswith("ran trials at the same time")
    narrow = {key: SPACE[key] for key in SPACE if key != "model.bits"}
    other = tiny({"space": narrow, "search.num_samples": 2, "confirm.max_configs": 0})
    found_elsewhere = finished(tmp_path / "other", other).journal.events
    assert problem(found_elsewhere, prices) == "has trials of another space than the recording"


def test_real_searches_are_held_against_the_first_of_them() -> None:
    random = ran([10, 20, 40], [0.1, 0.2, 0.3], 40)
    ours = ran([8, 12, 30], [0.2, 0.3, 0.4], 30)
    never = ran([20, 50], [0.0, 0.29], 50)
    rows = live_table({"random": random, "ours": ours, "never": never})
    assert list(rows["share to the first one's end"]) == ["100%", "30%", "not"]
    assert list(rows["at 30 s"]) == ["0.2000", "0.4000", "0.0000"]
    assert list(rows["CPU seconds"]) == ["40", "30", "50"]

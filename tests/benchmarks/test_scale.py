"""What the harness costs beside the trials does not grow with their number."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from benchmarks import scale
from benchmarks.start import overhead
from harness.executors import executor
from harness.session.status import status_of
from reports.results import load_search
from tests.harness.tiny import shared_cache

# Suggestions of the default sampler take most of the driver's time, up to a bound of their own.
TRIALS, PART, SAMPLER = 200, 25, "tpe"


@pytest.mark.slow
def test_the_last_trials_of_a_long_search_cost_as_little_as_the_first(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAAT_CACHE", "")  # so that it is put back afterwards
    shared_cache(tmp_path_factory)
    monkeypatch.setattr(executor, "run_trial", scale.stand_in)
    # The first part loads MLflow and whatever else is loaded when it is first needed.
    first, *parts = scale.run(TRIALS, tmp_path, size=PART, sampler=SAMPLER)
    assert first.trials == PART
    early, late = parts[: len(parts) // 2], parts[len(parts) // 2 :]
    cpu = [sum(part.cpu_s for part in half) / len(half) for half in (early, late)]
    assert cpu[1] < 2 * cpu[0], "CPU time of the driver, a trial"
    growth = (late[-1].megabytes - early[0].megabytes) / (late[-1].trials - early[0].trials)
    assert growth < 0.1, "megabytes a trial; a search holds on to some 20 kB of each"
    _everything_is_there(tmp_path / "scale")


def _everything_is_there(run_dir: Path) -> None:
    results = load_search(run_dir)
    found = status_of(run_dir)
    assert found["state"] == "finished"
    assert found["running"] == []
    assert len(results.explore) == TRIALS + 2
    assert set(results.explore["status"]) == {"completed", "stopped"}
    assert len(results.tested) == 3 * (2 + 2 * len(set(results.tested["param.model.bits"])))
    assert (run_dir / "report" / "report.html").is_file()


def test_the_overhead_is_what_no_trial_worked_for() -> None:
    def event(time: float, kind: str, name: str = "", **more: Any) -> dict[str, Any]:
        return {"time": time, "event": kind, "trial_id": name, **more}

    def suggested(time: float, name: str) -> dict[str, Any]:
        return {"time": time, "event": "suggested", "trial": {"trial_id": name}}

    found = overhead(
        [
            event(0, "started"),
            suggested(5, "a"),
            suggested(5, "b"),
            event(16, "epoch", "a", cost_s=10.0),  # a worker that took 1 s to start
            event(25, "epoch", "b", cost_s=20.0, stop_reason="not among the best"),
            suggested(27, "c"),  # 2 s between b and c
            event(30, "epoch", "c", cost_s=2.5),  # 0.5 s to start
            event(36.25, "completed", "a", cost_s=30.0),  # 0.25 s between its reports
            event(38, "failed", "c", stop_reason="nan"),  # 8 s of which it said nothing
        ]
    )
    assert found == (10 + 20 + 2.5 + 20, 1.0, 0.5, 0.25 + 8, 2.0)
    assert found.share == pytest.approx(11.75 / 52.5)


def test_parts_are_cut_where_trials_end() -> None:
    usage = scale.Usage()
    usage.samples = [(float(t), 100.0 + t, t / 10) for t in range(11)]
    ends = itertools.cycle(
        [{"event": "completed"}, {"event": "epoch", "stop_reason": "x"}, {"event": "failed"}]
    )
    events: list[dict[str, Any]] = [{"event": "started", "time": 0.0}]
    for time in range(1, 10):
        events += [{"event": "epoch", "time": time - 0.5}, next(ends) | {"time": float(time)}]
    found = scale.rows(events, usage, 4)
    assert [row.trials for row in found] == [4, 8]
    assert [row.seconds for row in found] == [1.0, 1.0]
    assert [row.cpu_s for row in found] == pytest.approx([0.1, 0.1])
    assert [row.megabytes for row in found] == [104.0, 108.0]

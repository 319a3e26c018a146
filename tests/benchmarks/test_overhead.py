"""``python -m benchmarks.overhead`` at toy size."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.overhead import Lasting, parts
from harness.trial.interface import EpochReport, FinalReport

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_toy_search_is_measured() -> None:
    command = [sys.executable, "-m", "benchmarks.overhead", "--executor", "inline"]
    command += ["--trials", "2", "--seconds", "0.5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    name, ran, work, *_, whole, _ = done.stdout.splitlines()[-1].strip("| ").split(" | ")
    assert (name, ran) == ("inline", "2, 1 at once")
    assert float(work) > 0.5
    assert float(whole) > 2 * float(work)


def test_the_whole_is_compared_with_the_work_of_the_slots() -> None:
    def event(time: float, kind: str, name: str = "", **more: Any) -> dict[str, Any]:
        return {"time": time, "event": kind, "trial_id": name, **more}

    def suggested(time: float, name: str) -> dict[str, Any]:
        return {"time": time, "event": "suggested", "trial": {"trial_id": name}}

    found = parts(
        [
            suggested(13, "a"),
            suggested(13, "b"),
            event(75, "completed", "a", cost_s=60.0),  # workers start in 2 s and in 4 s
            event(77, "completed", "b", cost_s=60.0),
            suggested(76, "c"),  # 1 s after a
            suggested(77, "d"),
            event(137, "completed", "c", cost_s=60.0),  # 1 s to start
            event(137, "completed", "d", cost_s=60.0),
            event(140, "reported"),
        ],
        began=10,
        ended=141,
        slots=2,
    )
    assert (found.whole, found.before, found.after, found.trials) == (131, 3 + 3, 4, 4)
    assert found.per_trial == pytest.approx((1 + 1) / 4)
    assert found.share == pytest.approx(131 / 120 - 1)


def test_a_lasting_trial_sleeps_before_its_reports_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

        def sleep(self, seconds: float) -> None:
            self.now += seconds

    reports = [EpochReport(1, {}, 2.0, 2.0), EpochReport(2, {}, 2.0, 4.0), FinalReport(2, {}, 5.0)]
    monkeypatch.setattr("benchmarks.overhead.run_trial", lambda *_: iter(reports))
    monkeypatch.setattr("benchmarks.overhead.time", Clock())

    class Config:
        epochs = 2

    class Spec:
        config = Config

    found = list(Lasting(30.0)(Spec, None))  # type: ignore[arg-type]
    assert [report.cost_s for report in found] == [12.0, 24.0, 35.0]

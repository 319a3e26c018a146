"""What a search costs beside trials of a minute: ``python -m benchmarks.overhead``.

A trial is a real one of a small training that also sleeps for ``--seconds``, a part before each
report. So everything beside its work is real: the start of processes, data, files, journal,
sampler, MLflow, tables and report. One search runs inline, one trial at a time, and another one
through Ray, two at a time, ``--trials`` in every slot. Each is a process of its own. Its seconds
are compared with those that the trials worked, divided by the number of trials at once.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.scale import start_ray
from benchmarks.start import Overhead, overhead
from harness.executors import executor
from harness.experiment.resolve import resolve_experiment
from harness.journal.journal import Event, read
from harness.options import Options
from harness.session import session
from harness.trial.attempt import Status
from harness.trial.interface import EpochReport, FinalReport, TrialContext, TrialSpec
from harness.trial.trial import run_trial

NAME = "overhead"
EXPERIMENT: dict[str, Any] = {
    "schema_version": 1,
    "name": NAME,
    "data": {"name": "digits_mini", "image_size": 16, "val_queries": 40},
    "model": {"bits": 16},
    "pretrain": {"epochs": 2, "lr": 0.3, "batch_size": 40},
    "defense": {"epochs": 9, "steps": 1, "batch_size": 40},
    "space": {"defense.lambda": {"float": [0.1, 10.0], "log": True}},
    "confirm": {"max_configs": 0},
    "validation": {"steps": 1, "queries": 20},
    "evaluation": {"top_k": 100, "steps": 2, "attacks": ["mainstay", "hag"]},
}
PUBLISHED = 1  # setting, which a search trains beside its samples


class Lasting:
    """In place of :func:`harness.trial.trial.run_trial`: the same, and it sleeps as well.

    Args:
        seconds: of sleep in a whole trial.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(
        self, spec: TrialSpec, context: TrialContext, status: Status | None = None
    ) -> Iterator[EpochReport | FinalReport]:
        """Reports of the trial, whose costs include the sleep."""
        slept = 0.0
        for report in run_trial(spec, context, status):
            started = time.monotonic()
            time.sleep(self._seconds / (spec.config.epochs + 1))
            slept += time.monotonic() - started
            yield replace(report, cost_s=report.cost_s + slept)


def lasting_trials(seconds: float) -> Callable[[], None]:
    """A call after which trials of a process sleep for so long."""

    def use() -> None:
        vars(executor)["run_trial"] = Lasting(seconds)

    return use


def search(trials: int, seconds: float, name: str, runs_dir: Path) -> None:
    """Run one search in this process, without early stopping, below ``runs_dir``."""
    if name == "ray":
        start_ray(lasting_trials(seconds), cpus=2)
    else:
        lasting_trials(seconds)()
    section = {"num_samples": trials - PUBLISHED, "scheduler": "none"}
    experiment = resolve_experiment({**EXPERIMENT, "search": section}, NAME)
    options = Options(runs_dir, executor="ray" if name == "ray" else "inline")
    session.start(experiment, options, "search", lambda text: print(text, file=sys.stderr))


class Parts(NamedTuple):
    """Seconds of a whole search, and where they went."""

    whole: float  # from the start of its process to its end
    before: float  # until all slots have a worker, on average; once a search
    after: float  # from the end of the last trial; once a search
    slots: int  # trials at once
    trials: int
    spent: Overhead

    @property
    def per_trial(self) -> float:
        """What a slot spends beside the work of each trial."""
        return (self.spent.trials + self.spent.epochs + self.spent.between) / self.trials

    @property
    def share(self) -> float:
        """Of the work divided by the slots: what the search took beyond it."""
        return self.whole * self.slots / self.spent.work - 1


def parts(events: list[Event], began: float, ended: float, slots: int) -> Parts:
    """Those of a journal, and of the times at which its process began and ended."""
    first = next(event["time"] for event in events if event["event"] == "suggested")
    ends = [event["time"] for event in events if event["event"] in ("completed", "failed")]
    spent = overhead(events)
    before = first - began + spent.workers / slots
    return Parts(ended - began, before, ended - ends[-1], slots, len(ends), spent)


def measured(trials: int, seconds: float, name: str, slots: int) -> Parts:
    """Run a search in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="saat-overhead-") as folder:
        given = ["--executor", name, "--trials", str(trials), "--seconds", str(seconds)]
        began = time.time()
        process = subprocess.run(
            [sys.executable, "-m", "benchmarks.overhead", *given, "--runs-dir", folder],
            stderr=subprocess.PIPE,
            text=True,
        )
        ended = time.time()
        if process.returncode:
            raise RuntimeError(process.stderr[-2000:])
        return parts(read(Path(folder) / NAME / "events.jsonl"), began, ended, slots)


def row(name: str, found: Parts) -> str:
    """A line of the table."""
    cells = (
        f"{found.trials}, {found.slots} at once",
        f"{found.spent.work / found.trials:.1f}",
        f"{found.per_trial:.2f}",
        f"{100 * found.per_trial * found.trials / found.spent.work:.1f} %",
        f"{found.before:.1f}",
        f"{found.after:.1f}",
        f"{found.whole:.1f}",
        f"{100 * found.share:.1f} %",
    )
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Run both searches and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=8, help="in every slot")
    parser.add_argument("--seconds", type=float, default=55.0, help="of sleep in a trial")
    parser.add_argument("--executor", choices=["inline", "ray"])
    parser.add_argument("--runs-dir", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.runs_dir is not None:
        search(args.trials, args.seconds, args.executor, args.runs_dir)
        return
    columns = (
        "executor", "trials", "work a trial, s", "beside it, s", "of the work", "start, s",
        "end, s", "whole, s", "whole beyond the work",
    )  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|---|---|{'---:|' * (len(columns) - 2)}")
    for name, slots in (("inline", 1), ("ray", 2)):
        if args.executor in (None, name):
            print(row(name, measured(slots * args.trials, args.seconds, name, slots)), flush=True)


if __name__ == "__main__":
    main()

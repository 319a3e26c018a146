"""Runs a search, strikes it, lets it end, and says what was lost."""

import json
import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tests.chaos.bench import Bench
from tests.chaos.cluster_faults import ClusterBench
from tests.chaos.draw import Scenario, Where
from tests.chaos.invariants import trials_of, violations
from tests.chaos.seen import look, lost
from tests.chaos.setup import Needs, Struck
from tests.cluster import hosts


@dataclass(frozen=True)
class Strike:
    """A fault that struck and what became of the search.

    Attributes:
        epochs: finished before the fault, and of these lost after the end.
        trials: the same.
        seconds: until the search told of its next event.
    """

    seed: int
    where: str
    kind: str
    moment: str
    epochs: tuple[int, int]
    trials: tuple[int, int]
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What a scenario came to; ``problems`` is empty where every promise was kept."""

    scenario: Scenario
    strikes: list[Strike]
    problems: list[str]
    seconds: float


def run(scenario: Scenario, folder: Path, reference: "Undisturbed") -> Outcome:
    """Run a scenario in an empty folder."""
    started = time.monotonic()
    bench = _bench(scenario, folder)
    try:
        for fault in scenario.faults:
            if not bench.alive and not bench.finished():
                bench.begin()
            fault.strike(bench)
        bench.conclude()
        problems = list(bench.complaints)
        if bench.server:
            bench.server.kill()
        if not bench.finished():
            return Outcome(scenario, [], [*problems, "the search did not end"], 0)
        problems += violations(bench.run_dir, bench.store)
        changed = any(fault.changes_results for fault in scenario.faults)
        problems += reference.differences(bench.run_dir, bench.executor, changed)
        strikes = _strikes(bench, scenario)
        problems += [f"lost: {s}" for s in strikes if s.epochs[1] or s.trials[1]]
        if scenario.where != "cluster":  # which goes on for the next search
            problems += [f"still runs: {process}" for process in bench.left_running()]
    finally:
        bench.close()
    return Outcome(scenario, strikes, problems, time.monotonic() - started)


def _bench(scenario: Scenario, folder: Path) -> Bench:
    if scenario.where == "cluster":
        return ClusterBench(folder, scenario.needs, scenario.chance)
    return Bench(folder, scenario.where, scenario.needs, scenario.chance)


def unavailable(where: Where) -> str | None:
    """Why faults of a kind of search cannot be made here, for skips."""
    if sys.platform != "linux":
        return "needs Linux"
    if where == "cluster":
        return hosts.unavailable()
    # For a disk of its own, which fills up.
    return None if os.geteuid() == 0 else "needs root"


def undisturbed(folder: Path) -> "Undisturbed":
    """Run the search with nothing in its way.

    Raises:
        RuntimeError: not even that worked.
    """
    bench = Bench(folder, "inline", Needs(), random.Random(0))
    try:
        bench.conclude()
        if bench.complaints:
            raise RuntimeError("; ".join(bench.complaints))
        return Undisturbed(bench.run_dir)
    finally:
        bench.close()


def _strikes(bench: Bench, scenario: Scenario) -> list[Strike]:
    events = bench.events()
    now = look(bench.run_dir)
    return [
        _strike(scenario, struck, events, lost(struck.seen, now))
        for struck in sorted([*bench.struck, *bench.planted_strikes()], key=lambda s: s.at)
    ]


def _strike(
    scenario: Scenario, struck: Struck, events: list[dict[str, Any]], gone: tuple[int, int]
) -> Strike:
    following = [event["time"] for event in events if event["time"] > struck.at]
    seconds = min(following, default=struck.at) - struck.at
    epochs, trials = struck.seen.finished_epochs, struck.seen.ended
    return Strike(
        scenario.seed,
        scenario.where,
        struck.kind,
        struck.moment,
        (epochs, gone[0]),
        (trials, gone[1]),
        seconds,
    )


class Undisturbed:
    """The same search with nothing in its way, one trial after the other.

    Args:
        run_dir: where it lies.
    """

    def __init__(self, run_dir: Path) -> None:
        self._facts = _facts(run_dir)

    def differences(self, run_dir: Path, executor: str, changed: bool) -> list[str]:
        """How a search differs from it.

        One after the other and where no fault changes a result, everything is equal; otherwise
        every epoch and every end of a trial that both have.
        """
        found = _facts(run_dir)
        if executor == "inline" and not changed:
            return [
                f"undisturbed: {key} is {value}, here {found[key]}"
                for key, value in self._facts.items()
                if found[key] != value
            ]
        return [
            f"undisturbed: {what} {key} is {value}, here {found[what][key]}"
            for what in ("epochs", "ends")
            for key, value in self._facts[what].items()
            if found[what].get(key, value) != value
        ]


def _facts(run_dir: Path) -> dict[str, Any]:
    """What a search found, without clocks and files."""
    events = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]
    trials = trials_of(events)
    front = pd.read_csv(run_dir / "report" / "frontier.csv")
    return {
        "order": list(trials),
        "epochs": {
            (name, event["epoch"]): event["metrics"]
            for name, trial in trials.items()
            for event in trial.epochs
        },
        "ends": {n: t.ends[0]["metrics"] for n, t in trials.items() if t.status == "completed"},
        "statuses": {name: trial.status for name, trial in trials.items()},
        "recommended": [e["trial_ids"] for e in events if e["event"] == "recommended"],
        "frontier": front.drop(columns=["cost (s)"]).to_csv(),
    }

"""Searches that were run for real, on the cost axis of a recording.

``python -m benchmarks.efficiency.live EXPERIMENT.yaml TABLE.parquet RUN…`` prints a row for every
finished search folder; the first one is what the others are held against, random search as a rule.
Seconds of a shared machine cannot be compared, so an epoch costs what epochs of as many PGD steps
and bits cost in the recording, on average. A search is judged by the values that it saw itself.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.efficiency.recording import BITS, Recording, load_recording
from harness.experiment.file import load_experiment
from harness.journal.journal import Event, read
from harness.journal.state import SearchState
from reports.frontier import hypervolume
from saat.feasibility import objective_values

_STEPS = "defense.steps"
Kind = tuple[int, int]  # bits, PGD steps


class Live(NamedTuple):
    """One search, trial by trial in the order in which they began."""

    cost: list[float]  # recorded CPU seconds spent when each trial ended
    hypervolume: list[float]  # of what was completed by then
    completed: int

    def at(self, cost: float) -> float:
        """Hypervolume of the trials that ended within ``cost``."""
        within = [v for c, v in zip(self.cost, self.hypervolume, strict=True) if c <= cost]
        return within[-1] if within else 0.0

    def cost_to(self, volume: float) -> float:
        """Cost at which a hypervolume was reached; inf: never."""
        pairs = zip(self.cost, self.hypervolume, strict=True)
        return next((cost for cost, reached in pairs if reached >= volume), float("inf"))


class Prices:
    """What an epoch, a re-attack and a pretraining cost in a recording, in CPU seconds."""

    def __init__(self, recording: Recording) -> None:
        epochs: dict[Kind, list[float]] = defaultdict(list)
        final: dict[Kind, list[float]] = defaultdict(list)
        for (full_hash, _), run in recording.runs.items():
            kind = _kind(recording.points[full_hash])
            epochs[kind] += run.seconds
            final[kind].append(run.final_seconds)
        self._epoch = {kind: float(np.mean(seconds)) for kind, seconds in epochs.items()}
        self._final = {kind: float(np.mean(seconds)) for kind, seconds in final.items()}
        self._pretraining: dict[int, list[float]] = defaultdict(list)
        for (bits, _), seconds in recording.pretraining.items():
            self._pretraining[bits].append(seconds)

    def trial(self, point: Mapping[str, Any], epochs: int, completed: bool) -> float:
        """Of one trial, without the model it starts from."""
        kind = _kind(point)
        return epochs * self._epoch[kind] + completed * self._final[kind]

    def known(self, point: Mapping[str, Any]) -> bool:
        """Whether the recording has trials of as many bits and steps."""
        return {BITS, _STEPS} <= set(point) and _kind(point) in self._epoch

    def pretraining(self, bits: int) -> float:
        """Of the model that all trials of a code length start from."""
        return float(np.mean(self._pretraining[bits]))


def problem(events: Sequence[Event], prices: Prices) -> str:
    """Why a search cannot be held against the recording; empty if it can."""
    state = SearchState(events)
    if not state.finished:
        return "not finished"
    if state.warm:
        return "knew trials of earlier searches"
    if not all(prices.known(record.point) for record in state.of_phase("explore")):
        return "has trials of another space than the recording"
    live: set[str] = set()
    for event in events:
        if event["event"] == "suggested":
            if live:
                return "ran trials at the same time; set search.max_concurrent to 1"
            live.add(event["trial"]["trial_id"])
        elif event["event"] in ("completed", "failed") or event.get("stop_reason"):
            live.discard(event["trial_id"])
    return ""


def live(state: SearchState, prices: Prices) -> Live:
    """Cost and hypervolume of a search that ran one trial at a time."""
    out, spent, values = Live([], [], 0), 0.0, []
    pretrained: set[int] = set()
    for record in state.of_phase("explore"):
        bits, done = int(record.point[BITS]), record.status == "completed"
        if bits not in pretrained:
            pretrained.add(bits)
            spent += prices.pretraining(bits)
        spent += prices.trial(record.point, len(record.epochs), done)
        if done:
            values.append(objective_values(record.metrics))
        out.cost.append(spent)
        out.hypervolume.append(hypervolume(np.array(values).reshape(-1, 2)))
    return out._replace(completed=len(values))


def table(searches: Mapping[str, Live]) -> pd.DataFrame:
    """A row for every search, held against the first at the cost that all of them reached."""
    first = next(iter(searches.values()))
    common = min(one.cost[-1] for one in searches.values())
    rows = []
    for name, one in searches.items():
        share = one.cost_to(first.hypervolume[-1]) / first.cost[-1]
        rows.append(
            {
                "search": name,
                "trials": len(one.cost),
                "completed": one.completed,
                "CPU seconds": f"{one.cost[-1]:.0f}",
                "hypervolume": f"{one.hypervolume[-1]:.4f}",
                f"at {common:.0f} s": f"{one.at(common):.4f}",
                "share to the first one's end": "not" if np.isinf(share) else f"{share:.0%}",
            }
        )
    return pd.DataFrame(rows)


def _kind(point: Mapping[str, Any]) -> Kind:
    return int(point[BITS]), int(point[_STEPS])


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    experiment, _ = load_experiment(options.experiment)
    prices = Prices(load_recording(options.table, experiment))
    searches = {}
    for run in options.runs:
        events = read(run / "events.jsonl")
        if reason := problem(events, prices):
            parser.error(f"{run}: {reason}")
        searches[run.name] = live(SearchState(events), prices)
    print(table(searches).to_string(index=False))


if __name__ == "__main__":
    main()

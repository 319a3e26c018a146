"""Searches that were run for real, on the cost axis of a recording.

``python -m benchmarks.efficiency.live EXPERIMENT.yaml TABLE.parquet RUN…`` prints a row for every
finished search folder; the first one is what the others are held against, random search as a rule.
Seconds of a shared machine cannot be compared, so an epoch costs what epochs of as many PGD steps
and bits cost in the recording, on average. A search is judged by the values that it saw itself.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.efficiency.recording import BITS
from benchmarks.efficiency.replay import Replay
from harness.journal.journal import Event, read
from harness.journal.state import SearchState
from reports.frontier import hypervolume
from saat.feasibility import Aims

_STEPS = "defense.steps"


class Prices:
    """What an epoch, a re-attack and a pretraining cost in a recording, in CPU seconds.

    Args:
        table: of the recording.
    """

    def __init__(self, table: Path) -> None:
        frame = pd.read_parquet(table)
        bits, steps = (f"param.{key}" for key in (BITS, _STEPS))
        # Only the last epoch of a training has the cost of its re-attack.
        self._trial = frame.groupby([bits, steps])[["cpu_s", "reattack_cpu_s"]].mean()
        models = frame.drop_duplicates([bits, "seed"])
        self._pretraining = models.groupby(bits)["pretrain_cpu_s"].mean()

    def trial(self, point: Mapping[str, Any], epochs: int, completed: bool) -> float:
        """Of one trial, without the model it starts from."""
        epoch, reattack = self._trial.loc[[_kind(point)]].to_numpy(np.float64)[0]
        return float(epochs * epoch + completed * reattack)

    def known(self, point: Mapping[str, Any]) -> bool:
        """Whether the recording has trials of as many bits and steps."""
        return {BITS, _STEPS} <= set(point) and _kind(point) in self._trial.index

    def pretraining(self, bits: int) -> float:
        """Of the model that all trials of a code length start from."""
        return float(self._pretraining[bits])


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


def live(state: SearchState, prices: Prices) -> Replay:
    """Cost and hypervolume of a search that ran one trial at a time, when each trial ended."""
    costs: list[float] = []
    volumes: list[float] = []
    values: dict[str, tuple[float, ...]] = {}
    spent, pretrained = 0.0, set[int]()
    records = list(state.of_phase("explore"))
    for record in records:
        bits, done = int(record.point[BITS]), record.status == "completed"
        if bits not in pretrained:
            pretrained.add(bits)
            spent += prices.pretraining(bits)
        spent += prices.trial(record.point, len(record.epochs), done)
        if done:
            values[record.spec.trial_id] = Aims.of({}).values(record.metrics)
        costs.append(spent)
        volumes.append(hypervolume(np.array(list(values.values())).reshape(-1, 2)))
    cost, volume = np.array(costs), np.array(volumes)
    return Replay(cost, volume, spent, spent, len(records), tuple(values), 0.0)


def table(searches: Mapping[str, Replay]) -> pd.DataFrame:
    """A row for every search, held against the first at the cost that all of them reached."""
    first = next(iter(searches.values()))
    common = min(one.total_cost for one in searches.values())
    goal = first.at(first.total_cost)
    rows = []
    for name, one in searches.items():
        share = one.cost_to(goal) / first.total_cost
        rows.append(
            {
                "search": name,
                "trials": one.trials,
                "completed": len(one.settings),
                "CPU seconds": f"{one.total_cost:.0f}",
                "hypervolume": f"{one.at(one.total_cost):.4f}",
                f"at {common:.0f} s": f"{one.at(common):.4f}",
                "share to the first one's end": "not" if np.isinf(share) else f"{share:.0%}",
            }
        )
    return pd.DataFrame(rows)


def _kind(point: Mapping[str, Any]) -> tuple[int, int]:
    return int(point[BITS]), int(point[_STEPS])


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    prices = Prices(options.table)
    searches = {}
    for run in options.runs:
        events = read(run / "events.jsonl")
        if reason := problem(events, prices):
            parser.error(f"{run}: {reason}")
        searches[run.name] = live(SearchState(events), prices)
    print(table(searches).to_string(index=False))


if __name__ == "__main__":
    main()

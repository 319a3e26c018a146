"""What the runs of a data set and scale measured, by the cells of the paper."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from reports.paper.cells import Cell, Setting
from reports.paper.declared import Item, Run
from reports.results import SearchResults, stored_metrics
from reports.trial_arrays import Arrays
from saat.errors import one_line
from saat.metrics import Phase
from saat.sanity import at_chance

NOT_RUN = "not run yet"


class Value(NamedTuple):
    """A number in the paper's unit, NaN where there is none, and then why."""

    number: float
    missing: str = ""
    collapsed: bool = False  # the model's clean MAP is not above chance


class Trained(NamedTuple):
    """A setting in a run: its row of the trials' table, empty where missing, and then why."""

    row: Mapping[Any, Any]
    missing: str = ""


@dataclass(frozen=True)
class Measured:
    """Results of the runs at one scale on one data set.

    Attributes:
        data: name of the data set, of the command line.
        scale: ``full`` or ``small``.
        backbones: the paper's backbone → the one that was trained; others are left out.
        bits: code lengths that were trained; all where empty.
        runs: declared name → results; without those that have not begun.
    """

    data: str
    scale: str
    backbones: Mapping[str, str]
    bits: Collection[int]
    runs: Mapping[str, SearchResults]

    def left_out(self, setting: Setting) -> str:
        """Why a setting is not trained here at all; empty where it is."""
        if setting.backbone not in self.backbones:
            return f"{setting.backbone} is not trained at this scale"
        if self.bits and setting.bits not in self.bits:
            return f"{setting.bits} bits are left out"
        return ""

    def trained(self, run: Run, setting: Setting) -> Trained:
        """The completed trial of a setting."""
        if reason := self.left_out(setting):
            return Trained({}, reason)
        if run.name not in self.runs:
            return Trained({}, NOT_RUN)
        trials = self.runs[run.name].trials
        rows = trials[trials["role"] == setting.name].to_dict("records")
        for row in rows:
            if row["status"] == "completed":
                return Trained(row)
        reason = next((str(row["stop_reason"]) for row in rows if row["stop_reason"]), NOT_RUN)
        return Trained({}, one_line(reason, 200))

    def metric(self, run: Run, setting: Setting, name: str, factor: float = 100.0) -> Value:
        """A metric on test queries, times a factor."""
        trial = self.trained(run, setting)
        if trial.missing:
            return Value(np.nan, trial.missing)
        metrics = Phase.TEST.of(stored_metrics(trial.row))
        if name not in metrics:
            return Value(np.nan, "not measured")
        return Value(factor * metrics[name], collapsed="clean" in at_chance(metrics))

    def value(self, item: Item, cell: Cell) -> Value:
        """The number of a cell."""
        name, factor = cell.metric
        return self.metric(item.source(cell), cell.setting, name, factor)

    def histograms(self, item: Item, cell: Cell) -> Arrays | None:
        """``total`` and ``relevant`` of the cell's queries, int32 ``(Q, K+1)``; None without."""
        run = item.source(cell)
        trial = self.trained(run, cell.setting)
        if trial.missing:
            return None
        stored = self.runs[run.name].histograms(str(trial.row["trial_id"])) or {}
        name = "clean" if cell.attack == "none" else cell.attack
        if f"{name}_total" not in stored:
            return None
        return {part: stored[f"{name}_{part}"] for part in ("total", "relevant")}

    @cached_property
    def unfinished(self) -> dict[str, int]:
        """Run → trials that did not complete, of the runs that have any."""
        counts = {
            name: int((results.trials["status"] != "completed").sum())
            for name, results in self.runs.items()
        }
        return {name: count for name, count in counts.items() if count}

    @property
    def image_sizes(self) -> set[int]:
        """Widths of the images in pixels, of the runs that say them."""
        sections = [results.experiment.get("data", {}) for results in self.runs.values()]
        return {int(section["image_size"]) for section in sections if "image_size" in section}

    def cost_hours(self, names: Collection[str]) -> float:
        """Device-hours that the trials of some runs took."""
        costs = [self.runs[name].trials["cost_s"].sum() for name in names if name in self.runs]
        return float(sum(costs)) / 3600

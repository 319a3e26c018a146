"""The state of a search: a function of its journal alone."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from harness.experiment.config import TrialConfig, digest
from harness.journal.journal import Event, read
from harness.trial.interface import TrialSpec
from saat.errors import InputError, one_line
from saat.metrics import with_trial_metrics
from saat.stopwatch import total
from saat.wording import counted

# Fields of a trial's record that its latest event decides.
_LATEST = (
    "cost_s", "unreliable", "out_of_memory", "host", "stop_reason", "precision", "compile",
)  # fmt: skip
TrialStatus = Literal["completed", "stopped", "failed", "running"]


@dataclass
class TrialRecord:
    """A trial, according to the journal."""

    spec: TrialSpec
    config_hash: str
    point: dict[str, Any]
    notes: dict[str, Any]
    status: TrialStatus = "running"
    stop_reason: str = ""
    unreliable: list[str] = field(default_factory=list)
    cost_s: float = 0.0
    started_at: float = math.nan
    finished_at: float = math.nan
    metrics: dict[str, float] = field(default_factory=dict)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    out_of_memory: list[str] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)  # seconds by saat.stopwatch.Stage
    precision: str = ""  # of its training; empty in journals of earlier versions
    compile: str = ""  # what of it was compiled
    host: str = ""  # the last machine that worked on it
    worker_deaths: int = 0  # times that its worker process died
    nodes_lost: int = 0  # times that its node was lost, pre-empted nodes included

    @property
    def config(self) -> TrialConfig:
        """The resolved setting of the trial."""
        return self.spec.config


class SearchState:
    """The state after a list of events."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.trials: dict[str, TrialRecord] = {}
        self.warm: dict[str, TrialRecord] = {}  # completed trials of earlier searches
        self.completed: list[TrialRecord] = []  # in the order of their ends
        self.began, self.latest = math.nan, math.nan  # times of the first and the last event
        self.stopped_exploring = ""  # why no further trial is suggested
        self.recommended: list[str] | None = None
        self.finished = False
        for event in events:
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Apply one event.

        Raises:
            InputError: it is not an event of a search, or names an unknown trial.
        """
        try:
            self._apply(event)
        except InputError as error:
            raise InputError(f"events.jsonl: {error}") from None
        except (KeyError, TypeError) as error:
            line = event.get("seq", -1) + 1
            raise InputError(
                f"events.jsonl: line {line}: not an event of a search ({one_line(error, 80)}); "
                "the journal is damaged"
            ) from None

    def _apply(self, event: Event) -> None:
        kind = event["event"]
        self.latest = event.get("time", math.nan)
        if kind == "started":
            self.began = self.latest
        elif kind == "warm_started":
            for entry in event["trials"]:
                known = _record_of(entry)
                known.status, known.metrics = "completed", entry["metrics"]
                self.warm[known.spec.trial_id] = known
        elif kind == "stopped_exploring":
            self.stopped_exploring = event["reason"]
        elif kind == "suggested":
            record = _record_of(event)
            record.started_at = event["time"]
            self.trials[record.spec.trial_id] = record
        elif kind == "recommended":
            self.recommended = event["trial_ids"]
            for trial_id in event["trial_ids"]:
                self.warm.get(trial_id) or self.trials[trial_id]
        elif kind == "finished":
            self.finished = True
        elif kind == "lost":
            record = self.trials[event["trial_id"]]
            record.nodes_lost += event["node"]
            record.worker_deaths += not event["node"]
        elif kind in ("epoch", "completed", "failed"):
            record = self.trials[event["trial_id"]]
            record.finished_at = event["time"]
            record.metrics |= metrics_of(event)
            for name in _LATEST:
                setattr(record, name, event.get(name, getattr(record, name)))
            if kind != "epoch":
                record.status = kind
                record.stages = event.get("stages") or record.stages
            else:
                record.epochs.append(event)
                record.stages = total(record.stages, event.get("stages", {}))
                if record.stop_reason:
                    record.status = "stopped"
            if kind == "completed":
                self.completed.append(record)

    def of_phase(self, *phases: str) -> list[TrialRecord]:
        """Trials of some phases in order of suggestion."""
        return [record for record in self._listed() if record.spec.phase in phases]

    def known(self) -> list[TrialRecord]:
        """Completed trials of earlier searches, then the explore trials of this one."""
        return [*self.warm.values(), *self.of_phase("explore")]

    def running(self) -> list[TrialRecord]:
        """Trials without an end."""
        return [record for record in self._listed() if record.status == "running"]

    def ended(self) -> list[TrialRecord]:
        """Trials with an end."""
        return [record for record in self._listed() if record.status != "running"]

    def _listed(self) -> list[TrialRecord]:
        # A copy: the live view reads in a thread of its own while trials are added.
        return list(self.trials.values())


def metrics_of(event: Event) -> dict[str, float]:
    """Metrics of an epoch or of a trial's end by their stored names, with the trial's own."""
    return with_trial_metrics(event.get("metrics", {}), event.get("cost_s", math.nan))


def _record_of(entry: Event) -> TrialRecord:
    spec = TrialSpec.of(entry["trial"])
    return TrialRecord(spec, entry["config_hash"], entry["point"], entry["notes"])


def summary(state: SearchState) -> str:
    """How the trials ended, in words."""
    counts = Counter(record.status for record in state.trials.values())
    parts = [f"{counts[s]} {s}" for s in get_args(TrialStatus) if counts[s]]
    return f"{counted(len(state.trials), 'trial')}: {', '.join(parts) or 'none'}"


class NeverStarted(InputError):
    """A folder whose search ended before its first event."""


def load_state(run_dir: Path) -> tuple[Event, SearchState]:
    """Read the journal of a run; returns its first event, and the state after all events.

    Raises:
        InputError: the journal is missing or damaged; :class:`NeverStarted` if it never existed.
    """
    path = run_dir / "events.jsonl"
    events = read(path)
    if events:
        return events[0], SearchState(events)
    kept = [name for name in ("trials.parquet", "epochs.parquet") if (run_dir / name).exists()]
    trials = sum(1 for _ in run_dir.glob("trials/*"))
    kept += [f"the folders of {counted(trials, 'trial')}"] if trials else []
    if kept:
        raise InputError(
            f"{path}: missing or empty, so the state of the search is lost; still there: "
            f"{', '.join(kept)}"
        )
    raise NeverStarted(f"{run_dir}: the search never started; delete the folder and start again")


def suggested_event(spec: TrialSpec, config_hash: str, point: Any, notes: Any) -> dict[str, Any]:
    """Fields of a ``suggested`` event."""
    return {"trial": spec.dump(), "config_hash": config_hash, "point": point, "notes": notes}


def config_hash(config: TrialConfig, data_fingerprint: str) -> str:
    """Hash of a setting: model, pretraining, defense and data; not the seed."""
    return digest([data_fingerprint, config.identity()])

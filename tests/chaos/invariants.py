"""What has to hold of a search that has ended, whatever struck it.

Everything is held against the journal's lines, read and folded here on purpose by other code than
the product's: no finished trial or epoch lost, none counted twice, and the tables, the tracking
data base and the report tell the same, row for row.
"""

import json
import math
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

Row = dict[str, Any]
_RUN_STATUS = {"completed": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
_PARENT = {"status": "FINISHED"}


@dataclass
class Trial:
    """What the journal's lines say of one trial."""

    suggested: list[Row] = field(default_factory=list)
    epochs: list[Row] = field(default_factory=list)
    ends: list[Row] = field(default_factory=list)
    after_the_end: int = 0

    @property
    def status(self) -> str:
        """How it ended."""
        end = self.ends[-1]
        return "stopped" if end["event"] == "epoch" else str(end["event"])

    def metrics(self) -> dict[str, float]:
        """The last value of every metric."""
        told: dict[str, float] = {}
        for row in [*self.epochs, *self.ends]:
            told |= row.get("metrics", {})
        return told

    def seconds(self) -> dict[str, float]:
        """Work of the trial when the numbers of a phase were measured last."""
        return {
            f"{phase}/device_seconds": row["cost_s"]
            for row in [*self.epochs, *self.ends]
            for phase in {key.partition("/")[0] for key in row.get("metrics", {})} - {"train"}
        }


def violations(run_dir: Path, store: str) -> list[str]:
    """Everything that is wrong with a search, a line each.

    Args:
        run_dir: its folder.
        store: URI of its tracking data base.
    """
    lines = (run_dir / "events.jsonl").read_text().splitlines()
    events: list[Row] = [json.loads(line) for line in lines]
    trials = trials_of(events)
    found = [*_checksums(lines), *_journal(run_dir, events, trials)]
    if found:
        return found  # what follows is derived from it
    found += [f"trials.parquet: {line}" for line in _trials_table(run_dir, trials)]
    found += [f"epochs.parquet: {line}" for line in _epochs_table(run_dir, trials)]
    found += [f"MLflow: {line}" for line in _tracking(store, events, trials)]
    found += [f"report: {line}" for line in _report(run_dir, trials)]
    return found


def _checksums(lines: list[str]) -> Iterator[str]:
    """Every line ends with the CRC-32 of what it would be without it."""
    for number, line in enumerate(lines):
        content, _, rest = line.rpartition(', "checksum": ')
        if rest != f'"{zlib.crc32(content.encode() + b"}"):08x}"}}':
            yield f"journal: line {number + 1} has another checksum"


def trials_of(events: list[Row]) -> dict[str, Trial]:
    """The trials of a journal."""
    trials: dict[str, Trial] = {}
    for event in events:
        kind = event["event"]
        if kind == "suggested":
            trials.setdefault(event["trial"]["trial_id"], Trial()).suggested.append(event)
        elif kind in ("epoch", "completed", "failed"):
            trial = trials.setdefault(event["trial_id"], Trial())
            trial.after_the_end += bool(trial.ends)
            if kind == "epoch":
                trial.epochs.append(event)
            if kind != "epoch" or event.get("stop_reason"):
                trial.ends.append(event)
    return trials


def _journal(run_dir: Path, events: list[Row], trials: dict[str, Trial]) -> Iterator[str]:
    if [event["seq"] for event in events] != list(range(len(events))):
        yield "journal: out of sequence"
    kinds = Counter(event["event"] for event in events)
    for kind in ("started", "recommended", "finished", "reported"):
        if kinds[kind] != 1:
            yield f"journal: {kinds[kind]} times {kind}"
    for name, trial in trials.items():
        if len(trial.suggested) != 1:
            yield f"journal: {name} suggested {len(trial.suggested)} times"
        if len(trial.ends) != 1 or trial.after_the_end:
            yield f"journal: {name} ended {len(trial.ends)} times, {trial.after_the_end} after it"
        numbers = [event["epoch"] for event in trial.epochs]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"journal: {name} has epochs {numbers}"
        if not trial.ends or trial.status != "completed" or not trial.suggested:
            continue
        config = trial.suggested[0]["trial"]["setting"]
        if len(numbers) != config["defense"].get("epochs", 0):
            yield f"journal: {name} completed after {len(numbers)} epochs"
        result = json.loads((run_dir / "trials" / name / "result.json").read_text())
        if any(result[key] != trial.ends[0][key] for key in ("epochs", "metrics", "cost_s")):
            yield f"journal: {name} is not its result.json"


def _rows(path: Path) -> list[Row]:
    frame = pd.read_parquet(path)
    return [dict(row) for _, row in frame.astype(object).iterrows()]


def _same(one: Any, other: Any) -> bool:
    """Equal, both missing, or the same as text where a column has text and numbers."""
    missing = [value is None or value is pd.NA or value != value for value in (one, other)]
    if any(missing):
        return all(missing)
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return bool(one == other) if numbers else str(one) == str(other)


def _differences(what: str, found: Row, expected: Row) -> Iterator[str]:
    for key in dict.fromkeys([*expected, *found]):
        if not _same(found.get(key), expected.get(key)):
            yield f"{what}: {key} is {found.get(key)!r}, not {expected.get(key)!r}"


def _trials_table(run_dir: Path, trials: dict[str, Trial]) -> Iterator[str]:
    rows = _rows(run_dir / "trials.parquet")
    if [row["trial_id"] for row in rows] != list(trials):
        yield f"rows {[row['trial_id'] for row in rows]}, not {list(trials)}"
        return
    for row in rows:
        trial = trials[row["trial_id"]]
        (suggested,), (end,) = trial.suggested, trial.ends
        spec, progress = suggested["trial"], [*trial.epochs, *trial.ends]
        config = {k: v for k, v in spec["setting"].items() if k != "data"}
        expected = {
            **{key: spec[key] for key in ("trial_id", "number", "phase", "role", "seed")},
            "config_hash": suggested["config_hash"],
            "status": trial.status,
            "stop_reason": end.get("stop_reason", ""),
            "epochs": len(trial.epochs),
            "cost_s": ([0.0] + [row["cost_s"] for row in progress if "cost_s" in row])[-1],
            "finished_at": end["time"],
            **{f"param.{s}.{k}": v for s, part in config.items() for k, v in part.items()},
            **{f"metric.{k}": v for k, v in (trial.metrics() | trial.seconds()).items()},
        }
        derived = {k: v for k, v in row.items() if k in expected or k.startswith("metric.")}
        yield from _differences(row["trial_id"], derived, expected)


def _epochs_table(run_dir: Path, trials: dict[str, Trial]) -> Iterator[str]:
    rows = _rows(run_dir / "epochs.parquet")
    found = Counter((row["trial_id"], row["epoch"]) for row in rows)
    told = {(name, e["epoch"]): e for name, trial in trials.items() for e in trial.epochs}
    expected = Counter(list(told))
    if found != expected:
        yield f"{sorted((found - expected) + (expected - found))} too many or too few"
        return
    for row in rows:
        event = told[row["trial_id"], row["epoch"]]
        metrics = {f"metric.{key}": value for key, value in event["metrics"].items()}
        keys = {key: event[key] for key in ("trial_id", "epoch", "seconds")}
        told_here = {k: v for k, v in row.items() if k in keys or k.startswith("metric.")}
        yield from _differences(f"{row['trial_id']} {row['epoch']}", told_here, keys | metrics)


def _tracking(store: str, events: list[Row], trials: dict[str, Trial]) -> Iterator[str]:
    from mlflow import MlflowClient

    client = MlflowClient(store)
    search_id = events[0]["search_id"]
    runs = [
        run
        for experiment in client.search_experiments()
        for run in client.search_runs([experiment.experiment_id])
        if run.data.tags.get("saat.search_id") == search_id
    ]
    names = Counter(run.data.tags["saat.trial_id"] for run in runs)
    if names != Counter(["search", *trials]):
        yield f"runs {dict(names)}"
        return
    parent = next(run for run in runs if run.data.tags["saat.trial_id"] == "search")
    for run in runs:
        history = {
            key: sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, key))
            for key in run.data.metrics
        }
        if run is parent:
            volumes = history.pop("hypervolume", [])
            history.pop("front_size", None)  # has the steps of the hypervolume
            areas = _areas(events)
            if [step for step, _ in volumes] != [step for step, _ in areas] or not all(
                math.isclose(one, other)
                for (_, one), (_, other) in zip(volumes, areas, strict=True)
            ):
                yield f"hypervolume {volumes}, not {areas}"
            yield from _differences("search", {**history, "status": run.info.status}, _PARENT)
            continue
        name = run.data.tags["saat.trial_id"]
        trial = trials[name]
        yield from _differences(name, history, _metrics(trial))
        config = trial.suggested[0]["trial"]["setting"]
        params = {
            f"{section}.{key}": str(value)
            for section, part in config.items()
            if section != "data"
            for key, value in part.items()
        } | {"seed": str(trial.suggested[0]["trial"]["seed"])}
        yield from _differences(name, run.data.params, params)
        told = {
            "status": run.info.status,
            "parent": run.data.tags.get("mlflow.parentRunId"),
            "tag": run.data.tags.get("saat.status"),
            "reason": run.data.tags.get("saat.stop_reason"),
        }
        status, reason = trial.status, trial.ends[0].get("stop_reason")
        expected = {"status": _RUN_STATUS[status], "parent": parent.info.run_id, "tag": status}
        yield from _differences(name, told, expected | {"reason": reason})


def _metrics(trial: Trial) -> dict[str, list[tuple[int, float]]]:
    """Every metric with its steps, each once; a trial's own cost also one step after its epochs."""
    out: dict[str, list[tuple[int, float]]] = {}
    best = {"clean_map": -math.inf, "robust_map": -math.inf}
    for event in trial.epochs:
        metrics = event["metrics"]
        best = {name: max(value, metrics[f"val/{name}"]) for name, value in best.items()}
        more = {f"best/{name}": value for name, value in best.items()}
        for key, value in {**metrics, **more, "cost_s": event["cost_s"]}.items():
            out.setdefault(key, []).append((event["epoch"], value))
    (end,) = trial.ends
    if end["event"] == "completed":
        for key, value in end["metrics"].items():
            out.setdefault(key, []).append((end["epochs"], value))
            phase, _, name = key.partition("/")
            if phase in ("reattack", "test") and name in best:  # the headline of the run
                out[name] = [(end["epochs"], value)]
        out.setdefault("cost_s", []).append((end["epochs"] + 1, end["cost_s"]))
    elif not trial.epochs:
        out["cost_s"] = [(0, 0.0)]
    for key, value in _stages(trial).items():
        out[f"seconds/{key}"] = [(end.get("epochs", len(trial.epochs)), value)]
    return {key: sorted(values) for key, values in out.items()}


def _stages(trial: Trial) -> dict[str, float]:
    """Seconds by stage: those of the end, else the sum of those of its epochs."""
    (end,) = trial.ends
    out: dict[str, float] = {}
    for event in trial.epochs:
        for key, value in event["stages"].items():
            out[key] = out.get(key, 0) + value
    return dict(end["stages"]) if end["event"] == "completed" else out


def _areas(events: list[Row]) -> list[tuple[int, float]]:
    """Area below the front after each completed explore trial, summed by strips."""
    out: list[tuple[int, float]] = []
    points: list[tuple[float, float]] = []
    done = 0
    for event in events:
        told = event.get("metrics", {})
        if event["event"] == "completed" and "reattack/clean_map" in told:
            done += 1
            if _retrieves(told):
                points.append((told["reattack/clean_map"], told["reattack/robust_map"]))
            area = height = 0.0
            for clean, robust in sorted(points, reverse=True):
                area += clean * max(0.0, robust - height)
                height = max(height, robust)
            out.append((done, area))
    return out


def _retrieves(metrics: Row) -> bool:
    """Whether clean MAP is above chance; a front has no other trial."""
    return bool(metrics.get("reattack/lift.clean", 1.0) > 0.01)


def _report(run_dir: Path, trials: dict[str, Trial]) -> Iterator[str]:
    page, table = run_dir / "report" / "report.html", run_dir / "report" / "frontier.csv"
    if not page.is_file() or "</html>" not in page.read_text():
        yield f"no whole {page.name}"
        return
    best = {
        (t.suggested[0]["trial"]["setting"]["model"]["bits"], name): tuple(
            t.ends[0]["metrics"][f"reattack/{n}_map"] for n in ("clean", "robust")
        )
        for name, t in trials.items()
        if t.status == "completed"
        and t.suggested[0]["trial"]["phase"] == "explore"
        and _retrieves(t.ends[0]["metrics"])
    }
    front = {
        name
        for (bits, name), point in best.items()
        if not any(
            other[0] == bits and at != point and at[0] >= point[0] and at[1] >= point[1]
            for other, at in best.items()
        )
    }
    told = set(pd.read_csv(table)["trial"]) if best else set()
    if told != front:
        yield f"front {sorted(told)}, not {sorted(front)}"

"""MLflow: one parent run a search, one child a trial, fed from the journal.

A daemon thread delivers the journal's events in order, each until it is accepted, so a tracking
server that is slow or down delays nothing and loses nothing. A cursor beside the journal
remembers what was delivered; runs are found again by tags of our own, so a resumed search
continues the runs of the interrupted one.
"""

import json
import logging
import os
import queue
import threading
import time
from pathlib import Path
from traceback import format_exception
from typing import Any

import pandas as pd
import tenacity

from harness.config import Experiment
from harness.cursor import Cursor, read_cursor
from harness.journal import Event
from harness.redaction import public_uri, redacted
from harness.state import SearchState, TrialRecord
from harness.tracking_store import make_tables
from reports.frontier import hypervolume
from saat.errors import one_line

log = logging.getLogger(__name__)

_PARAM_LIMIT = 6000
_PARAM_BATCH = 100
# Answers that another try will not change; a few are made all the same.
_FINAL_ERRORS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST")
_FINAL_TRIES = 5
_TAG_LIMIT = 8000
_ARTIFACTS = ("config.json", "result.json", "per_query.parquet", "model.safetensors")
_STATUS = {"completed": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


def default_uri(runs_dir: Path) -> str:
    """The embedded SQLite store of a folder of runs."""
    return f"sqlite:///{runs_dir.resolve() / 'mlflow.db'}"


class Tracker:
    """Delivers events to MLflow.

    Args:
        uri: tracking URI; SQLite stores keep their artifacts beside the data base.
        run_dir: folder of the search.
        experiment: the resolved experiment.
        tags: more tags of the parent run.
    """

    def __init__(
        self, uri: str, run_dir: Path, experiment: Experiment, tags: dict[str, str]
    ) -> None:
        # A refused connection must come back at once; the retries are ours.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        for noisy in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self.uri = uri
        self._run_dir, self._experiment, self._tags = run_dir, experiment, tags
        self._cursor_path = run_dir / "tracked.json"
        self._cursor = read_cursor(self._cursor_path, public_uri(uri))
        self._last_seq = -1
        self._known = SearchState()
        self._runs: dict[str, str] = {}
        self._newest: dict[tuple[str, str], int] = {}  # (run, metric) → the last step logged
        self._experiment_id = ""
        self._queue: queue.Queue[Event | None] = queue.Queue()
        self._closing = threading.Event()
        self._last_error = ""
        self._client: Any = None
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)

    def start(self, events: list[Event]) -> None:
        """Begin with the journal's events so far; those delivered before are only remembered."""
        for event in events:
            self.handle(event)
        self._thread.start()

    def handle(self, event: Event) -> None:
        """Queue an event; returns at once."""
        self._last_seq = event["seq"]
        self._queue.put(event)

    def close(self, timeout: float = 60.0) -> str:
        """Wait until everything is delivered, ``timeout`` seconds at most.

        Returns:
            An empty string, or one line on what the tracking server did not receive.
        """
        self._queue.put(None)
        self._thread.join(timeout)
        self._closing.set()
        missing = self._cursor.missing(self._last_seq)
        if not missing:
            return ""
        server = f"tracking server {public_uri(self.uri)}"
        return f"{server} did not accept {missing} events ({self._last_error})"

    def _work(self) -> None:
        try:
            self._retrying()(self._connect)
            while (event := self._queue.get()) is not None and not self._closing.is_set():
                self._known.apply(event)
                if self._cursor.lacks(event["seq"]):
                    self._deliver_until_accepted(event)
        except tenacity.RetryError:  # closing
            return
        except Exception as error:  # close() tells that events are missing, and why
            self._last_error = one_line(redacted(error), 200)
            log.error("tracking ended: %s", redacted("".join(format_exception(error))))

    def _deliver_until_accepted(self, event: Event) -> None:
        accepted = True
        try:
            self._retrying()(self._deliver, event)
        except tenacity.RetryError:
            if self._closing.is_set():
                raise
            accepted = False  # a server that refuses for good must not hold up the rest
        self._cursor.move(event["seq"], accepted)
        self._cursor.save(self._cursor_path, public_uri(self.uri))

    def _retrying(self) -> tenacity.Retrying:
        def give_up(state: tenacity.RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            final = getattr(error, "error_code", "") in _FINAL_ERRORS
            final = final and state.attempt_number >= _FINAL_TRIES
            # A data base's driver that is not installed will not be at the next try either.
            return self._closing.is_set() or final or isinstance(error, ImportError)

        def note(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            message = one_line(redacted(error), 200)
            if message != self._last_error:
                log.warning("tracking server %s: %s", public_uri(self.uri), message)
            self._last_error = message

        return tenacity.Retrying(
            wait=tenacity.wait_exponential(multiplier=0.5, max=30),
            stop=give_up,
            sleep=tenacity.sleep_using_event(self._closing),
            after=note,
        )

    def _deliver(self, event: Event) -> None:
        kind = event["event"]
        if kind == "suggested":
            record = self._known.trials[event["trial"]["trial_id"]]
            params = {**record.setting.flat(), "seed": record.spec.seed}
            self._log_params(self._child(record), params)
        elif kind in ("epoch", "completed", "failed"):
            self._deliver_progress(self._known.trials[event["trial_id"]], event)
        elif kind == "reported":
            self._finish()

    def _connect(self) -> None:
        """Find or make experiment and parent run; every call may be repeated after a failure."""
        from mlflow import MlflowClient

        make_tables(self.uri)
        self._client = MlflowClient(tracking_uri=self.uri)
        name = self._experiment.name
        found = self._client.get_experiment_by_name(name)
        if found is None:
            location = None
            if self.uri.startswith("sqlite:"):
                location = (self._run_dir.parent / "mlartifacts" / name).resolve().as_uri()
            # The tag opens the UI on training runs instead of on language model traces.
            kind = {"mlflow.experimentKind": "custom_model_development"}
            self._experiment_id = self._client.create_experiment(name, location, tags=kind)
        else:
            self._experiment_id = found.experiment_id
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(self._experiment_id)
        parent = self._run("search", name, self._tags)
        if self._cursor.run != parent:  # the server was wiped, or is another one
            self._cursor = Cursor(parent)
        self._log_params(parent, _experiment_params(self._experiment))
        self._log_file(parent, self._run_dir / "experiment.yaml")

    def _log_params(self, run_id: str, params: dict[str, Any]) -> None:
        """Log params; the same ones again change nothing."""
        from mlflow.entities import Param

        entries = [Param(key, str(value)[:_PARAM_LIMIT]) for key, value in params.items()]
        for start in range(0, len(entries), _PARAM_BATCH):
            self._client.log_batch(run_id, params=entries[start : start + _PARAM_BATCH])

    def _log_file(self, run_id: str, path: Path, folder: str | None = None) -> None:
        if path.exists():
            self._client.log_artifact(run_id, str(path), folder)

    def _run(self, trial_id: str, name: str, tags: dict[str, str]) -> str:
        """The run tagged with ``trial_id`` (``search`` for the parent), made if there is none."""
        if trial_id in self._runs:
            return self._runs[trial_id]
        own = {"saat.search_id": self._tags["saat.search_id"], "saat.trial_id": trial_id}
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in own.items())
        found = self._client.search_runs([self._experiment_id], wanted, max_results=1)
        if found:
            run_id = str(found[0].info.run_id)
        else:
            created = self._client.create_run(
                self._experiment_id, run_name=name, tags={**tags, **own}
            )
            run_id = str(created.info.run_id)
        self._runs[trial_id] = run_id
        return run_id

    def _child(self, record: TrialRecord) -> str:
        spec = record.spec
        parent = self._run("search", self._experiment.name, self._tags)
        tags = {
            "mlflow.parentRunId": parent,
            "saat.config_hash": record.config_hash,
            "saat.protocol": self._tags["saat.protocol"],
            "saat.phase": spec.phase,
            "saat.role": spec.role,
        }
        return self._run(spec.trial_id, spec.trial_id, tags)

    def _deliver_progress(self, record: TrialRecord, event: Event) -> None:
        run_id = self._child(record)
        step = int(event.get("epoch") or event.get("epochs") or len(record.epochs))
        metrics = dict(event.get("metrics", {}))
        if event["event"] == "epoch":
            metrics |= _best(record, step)
        self._log(run_id, metrics | {"cost_s": record.cost_s}, step)
        if event["event"] != "epoch" or event.get("stop_reason"):
            self._end(run_id, record)
            self._log_hypervolume()

    def _log(self, run_id: str, metrics: dict[str, float], step: int) -> None:
        """Log metrics at a step, once: an event may come twice after a kill or a lost answer."""
        from mlflow.entities import Metric

        key = next(iter(metrics))
        newest = self._newest.pop((run_id, key), -1)
        if step > newest >= 0:
            logged = set[int]()
        elif step == newest:
            logged = {step}
        else:  # nothing is known after a failure: what gave no answer may have been taken
            logged = {m.step for m in self._client.get_metric_history(run_id, key)}
        if step not in logged:
            stamp = int(1000 * time.time())
            batch = [Metric(name, value, stamp, step) for name, value in metrics.items()]
            self._client.log_batch(run_id, metrics=batch)
        self._newest[run_id, key] = max(step, newest, *logged)

    def _end(self, run_id: str, record: TrialRecord) -> None:
        self._client.set_tag(run_id, "saat.status", record.status)
        if record.stop_reason:
            self._client.set_tag(run_id, "saat.stop_reason", record.stop_reason[:_TAG_LIMIT])
        if record.unreliable:
            reasons = "; ".join(record.unreliable)[:_TAG_LIMIT]
            self._client.set_tag(run_id, "saat.unreliable", reasons)
        if record.out_of_memory:
            notes = "; ".join(record.out_of_memory)[:_TAG_LIMIT]
            self._client.set_tag(run_id, "saat.out_of_memory", notes)
        folder = self._run_dir / "trials" / record.spec.trial_id
        if record.status == "completed":
            for name in _ARTIFACTS:
                self._log_file(run_id, folder / name)
        self._client.set_terminated(run_id, _STATUS[record.status])

    def _log_hypervolume(self) -> None:
        done = [r for r in self._known.of_phase("explore") if r.status == "completed"]
        if not done:
            return
        points = [(r.metrics["reattack/clean_map"], r.metrics["reattack/robust_map"]) for r in done]
        parent = self._runs["search"]
        self._log(parent, {"hypervolume": hypervolume(points)}, len(done))

    def _finish(self) -> None:
        parent = self._run("search", self._experiment.name, self._tags)
        folder = self._run_dir / "report"
        for name in ("report.html", "frontier.csv"):
            self._log_file(parent, folder / name)
        for figure in sorted((folder / "figures").glob("*.png")):
            self._log_file(parent, figure, "figures")
        if (folder / "frontier.csv").exists():  # the report may have been deleted since
            # log_table would append to the rows of an earlier try.
            front = pd.read_csv(folder / "frontier.csv").astype(object).fillna("")
            table = front.to_dict(orient="split", index=False)
            self._client.log_dict(parent, table, "frontier.json")
            listed = json.dumps([{"path": "frontier.json", "type": "table"}])
            self._client.set_tag(parent, "mlflow.loggedArtifacts", listed)
        self._client.set_terminated(parent, "FINISHED")


def _best(record: TrialRecord, epoch: int) -> dict[str, float]:
    """Largest validation MAPs over the epochs up to ``epoch``."""
    seen = [entry["metrics"] for entry in record.epochs if entry["epoch"] <= epoch]
    return {
        f"best/{name}": max(metrics[f"val/{name}"] for metrics in seen)
        for name in ("clean_map", "robust_map")
    }


def _experiment_params(experiment: Experiment) -> dict[str, Any]:
    dump = experiment.dump()
    # Names that a user gives to settings may have characters that MLflow refuses in a key.
    dump["compare"] = json.dumps(dump["compare"], ensure_ascii=False)
    return dict(_flat(dump))


def _flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [
            pair
            for key, part in value.items()
            for pair in _flat(part, f"{prefix}.{key}" if prefix else str(key))
        ]
    return [(prefix, value)]

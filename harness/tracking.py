"""MLflow: one parent run a search, one child a trial, fed from the journal.

A daemon thread delivers the journal's events in order, each until it is accepted, so a tracking
server that is slow or down delays nothing and loses nothing. A cursor beside the journal
remembers what was delivered; runs are found again by tags of our own, so a resumed search
continues the runs of the interrupted one. A server that has forgotten the search, which was wiped,
is told everything once more.
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

import tenacity

from harness import tracked_values
from harness.config import Experiment
from harness.cursor import Cursor, read_cursor
from harness.journal import Event
from harness.redaction import public_uri, redacted
from harness.retries import FINAL_ERRORS, GONE, retrying
from harness.state import SearchState, TrialRecord
from harness.tracking_store import make_tables
from saat.errors import one_line

log = logging.getLogger(__name__)

_PARAM_LIMIT = 6000
_PARAM_BATCH = 100
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
        # Standard output is ours; MLflow would write two lines there for every trial that ends.
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
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
        self._past: list[Event] = []  # taken from the queue
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

    def close(self, timeout: float = 60.0, patient: bool = False) -> str:
        """Wait until everything is delivered, ``timeout`` seconds at most.

        Args:
            timeout: seconds.
            patient: count them anew for as long as the server accepts something within them.

        Returns:
            An empty string, or one line on what the tracking server did not receive.
        """
        self._queue.put(None)
        gets_on = True
        while gets_on:
            before = self._missing()
            self._thread.join(timeout)
            missing = self._missing()
            gets_on = patient and self._thread.is_alive() and missing != before
        self._closing.set()
        if not missing:
            return ""
        server = f"tracking server {public_uri(self.uri)}"
        reason = self._last_error or f"not within {timeout:g} s"
        return f"{server} did not accept {missing} events ({reason})"

    def _missing(self) -> int:
        return self._cursor.missing(self._last_seq)

    def _work(self) -> None:
        try:
            self._insist(self._connect)
            position = 0
            while (event := self._event(position)) is not None and not self._closing.is_set():
                self._known.apply(event)
                position += 1
                told = not self._cursor.lacks(event["seq"]) or self._deliver_until_accepted(event)
                if not told and self._insist(self._is_wiped):
                    log.warning("tracking server %s was wiped", public_uri(self.uri))
                    self._known, position = SearchState(), 0
                    self._insist(self._connect)
        except tenacity.RetryError:  # closing
            return
        except Exception as error:  # close() tells that events are missing, and why
            self._last_error = one_line(redacted(error), 200)
            log.error("tracking ended: %s", redacted("".join(format_exception(error))))

    def _event(self, position: int) -> Event | None:
        """An event by its place in the journal, waited for; None at the end."""
        if position == len(self._past):
            event = self._queue.get()
            if event is None:
                return None
            self._past.append(event)
        return self._past[position]

    def _is_wiped(self) -> bool:
        """Whether the server does not know the parent run any more."""
        try:
            self._client.get_run(self._runs["search"])
        except Exception as error:
            code = getattr(error, "error_code", "")
            if code not in FINAL_ERRORS:
                raise
            return bool(code == GONE)
        return False

    def _deliver_until_accepted(self, event: Event) -> bool:
        """Whether it was; a server that refuses it for good must not hold up the rest."""
        accepted = True
        try:
            self._insist(self._deliver, event)
        except tenacity.RetryError:
            if self._closing.is_set():
                raise
            accepted = False
        self._cursor.move(event["seq"], accepted)
        self._cursor.save(self._cursor_path, public_uri(self.uri))
        return accepted

    def _insist(self, *call: Any) -> Any:
        """Call until the server accepts.

        Raises:
            tenacity.RetryError: it refuses for good, or the tracker is closing.
        """
        return retrying(self._closing, self._note)(*call)

    def _note(self, error: BaseException) -> None:
        message = one_line(redacted(error), 200)
        if message != self._last_error:
            log.warning("tracking server %s: %s", public_uri(self.uri), message)
        self._last_error = message

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
        self._runs, self._newest = {}, {}
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
        self._log_params(parent, tracked_values.experiment_params(self._experiment))
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
            if "search" in self._runs:  # a wiped server may have given the number to another one
                self._client.get_run(self._runs["search"])
            created = self._client.create_run(
                self._experiment_id, run_name=name, tags={**tags, **own}
            )
            run_id = str(created.info.run_id)
        self._runs[trial_id] = run_id
        return run_id

    def _child(self, record: TrialRecord) -> str:
        parent = self._run("search", self._experiment.name, self._tags)
        tags = tracked_values.child_tags(record, parent, self._tags["saat.protocol"])
        return self._run(record.spec.trial_id, record.spec.trial_id, tags)

    def _deliver_progress(self, record: TrialRecord, event: Event) -> None:
        run_id = self._child(record)
        step = int(event.get("epoch") or event.get("epochs") or len(record.epochs))
        metrics = dict(event.get("metrics", {}))
        if event["event"] == "epoch":
            metrics |= tracked_values.best(record, step)
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
        for key, value in tracked_values.end_tags(record).items():
            self._client.set_tag(run_id, key, value)
        folder = self._run_dir / "trials" / record.spec.trial_id
        if record.status == "completed":
            for name in _ARTIFACTS:
                self._log_file(run_id, folder / name)
        self._client.set_terminated(run_id, _STATUS[record.status])

    def _log_hypervolume(self) -> None:
        done, volume = tracked_values.growth(self._experiment, self._known)
        if done:
            self._log(self._runs["search"], {"hypervolume": volume}, done)

    def _finish(self) -> None:
        parent = self._run("search", self._experiment.name, self._tags)
        folder = self._run_dir / "report"
        for name in ("report.html", "frontier.csv"):
            self._log_file(parent, folder / name)
        for figure in sorted((folder / "figures").glob("*.png")):
            self._log_file(parent, figure, "figures")
        if (folder / "frontier.csv").exists():  # the report may have been deleted since
            # log_table would append to the rows of an earlier try.
            table = tracked_values.front_table(folder / "frontier.csv")
            self._client.log_dict(parent, table, "frontier.json")
            listed = json.dumps([{"path": "frontier.json", "type": "table"}])
            self._client.set_tag(parent, "mlflow.loggedArtifacts", listed)
        self._client.set_terminated(parent, "FINISHED")

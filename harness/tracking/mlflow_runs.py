"""A search's runs at an MLflow server: one parent, one child a trial, written event by event.

Every call may be repeated after a failure: runs are found again by tags of our own, and MLflow
ignores what it already has.
"""

import time
from contextlib import suppress
from math import isnan, nan
from pathlib import Path
from typing import Any

from harness.experiment.config import Experiment
from harness.journal.journal import Event
from harness.journal.state import SearchState, TrialRecord, metrics_of
from harness.redaction import public_uri
from harness.search.recommendation import explored_hypervolume, front_of
from harness.tracking import origin, saved_views, tracked_values
from harness.tracking.descriptions import search_note, trial_note
from harness.tracking.logged_models import NOTE, log_network
from harness.tracking.report_files import letters_of, log_report
from harness.tracking.retries import FINAL_ERRORS, GONE
from harness.tracking.run_names import run_name
from harness.tracking.store import make_tables
from harness.trial.records import write_record
from reports.tracked_runs import PARENT, TRACKED_RUNS, run_page

_PARAM_LIMIT = 6000
_PARAM_BATCH = 100
_ARTIFACTS = ("config.json", "result.json", "per_query.parquet")
_WEIGHTS = "model.safetensors"
_NOTE_LIMIT = 8000
_REPORT_TAB = "/artifacts/report.html"
_NOTE_SECONDS = 30.0  # between two descriptions of a running search
_MILESTONES = ("started", "stopped_exploring", "recommended", "finished", "reported")
_STATUS = {"completed": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MlflowRuns:
    """The runs of one search, whose parent run has the ``tags``.

    ``saat.search_id`` and ``saat.protocol`` are needed; ``saat.dataset`` and
    ``saat.data_fingerprint`` name the data set. ``began`` is the UNIX time of its start.
    With a SQLite store, artifacts are kept beside the database.
    """

    def __init__(
        self,
        uri: str,
        run_dir: Path,
        experiment: Experiment,
        tags: dict[str, str],
        began: float = nan,
    ) -> None:
        self.uri, self.run_dir = uri, run_dir
        self._experiment, self._tags, self._began = experiment, tags, began
        self._runs: dict[str, str] = {}  # trial id, or PARENT → run id
        self._experiment_id = ""
        self._client: Any = None
        self._origin = origin.read_origin(run_dir)
        self._letters: dict[str, str] = {}  # config hash → letter in the report
        self._reported = False
        self._described = -_NOTE_SECONDS  # time.monotonic() of the newest description

    def connect(self) -> str:
        """Find or make the experiment and the parent run; returns the parent's id."""
        from mlflow import MlflowClient

        make_tables(self.uri)
        self._client = MlflowClient(tracking_uri=self.uri)
        self._runs = {}
        name = self._experiment.name
        found = self._client.get_experiment_by_name(name)
        if found is None:
            location = None
            if self.uri.startswith("sqlite:"):
                location = (self.run_dir.parent / "mlartifacts" / name).resolve().as_uri()
            # The tag opens the UI on training runs instead of on language model traces.
            kind = {"mlflow.experimentKind": "custom_model_development"}
            self._experiment_id = self._client.create_experiment(name, location, tags=kind)
        else:
            self._experiment_id = found.experiment_id
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(self._experiment_id)
        self._save_views(dict(found.tags) if found else {})
        tags = {**origin.source_tags(self._origin), **origin.version_tags(self._origin)}
        parent = self._run(PARENT, self._experiment.name, {**tags, **self._tags}, self._began)
        self._log_params(parent, tracked_values.experiment_params(self._experiment))
        return parent

    def _save_views(self, present: dict[str, str]) -> None:
        """Add the saved views that the experiment lacks; a user may have changed the others."""
        for key, value in saved_views.view_tags(self._experiment).items():
            if key not in present:
                self._client.set_experiment_tag(self._experiment_id, key, value)

    def is_wiped(self) -> bool:
        """Whether the server has lost the parent run."""
        try:
            self._client.get_run(self._runs[PARENT])
        except Exception as error:
            code = getattr(error, "error_code", "")
            if code not in FINAL_ERRORS:
                raise
            return bool(code == GONE)
        return False

    def deliver(self, event: Event, state: SearchState) -> None:
        """Write an event of the journal; ``state`` is the state after the event."""
        kind = event["event"]
        if kind == "started":
            self._log_dataset(self._runs[PARENT])
            self._log_file(self._runs[PARENT], self.run_dir / "experiment.yaml")
        elif kind == "suggested":
            record = state.trials[event["trial"]["trial_id"]]
            run_id = self._child(record)
            self._log_params(run_id, tracked_values.trial_params(self._experiment, record))
            self._log_dataset(run_id)
        elif kind in ("epoch", "completed", "failed"):
            self._log_progress(event, state)
        elif kind == "recommended":
            for record in front_of(self._experiment.aims, state):
                self._client.set_tag(self._child(record), saved_views.ON_FRONT, "yes")
        elif kind == "reported":
            self._finish(state)
        self._describe(state, kind in _MILESTONES)

    def _describe(self, state: SearchState, at_once: bool) -> None:
        """Describe the search as it stands, unless that was done a moment ago."""
        now = time.monotonic()
        if at_once or now - self._described >= _NOTE_SECONDS:
            has_front = state.recommended is not None
            links = saved_views.search_links(self._experiment_id, has_front)
            if self._reported:
                links = {"report": self._page(PARENT, _REPORT_TAB)} | links

            def link(trial_id: str) -> str:
                self._child(state.trials[trial_id])  # looks its run up, once
                return self._page(trial_id)

            note = search_note(self._experiment, state, self._letters, link, links)
            self._client.set_tag(self._runs[PARENT], NOTE, note[:_NOTE_LIMIT])
            self._described = now
            self._remember()

    def _remember(self) -> None:
        """Note where the runs are, for the links of a report; on a full disk it has none."""
        found = {"uri": public_uri(self.uri), "experiment_id": self._experiment_id}
        with suppress(OSError):
            write_record(self.run_dir / TRACKED_RUNS, {**found, "runs": self._runs})

    def _page(self, trial_id: str, tab: str = "") -> str:
        """Address of a run's page within MLflow's UI."""
        return run_page(self._experiment_id, self._runs.get(trial_id, ""), tab)

    def _log_dataset(self, run_id: str) -> None:
        found = origin.dataset_input(self._tags, self._origin)
        if found is not None:
            self._client.log_inputs(run_id, [found])

    def _log_params(self, run_id: str, params: dict[str, Any]) -> None:
        """Log params; logging the same ones again changes nothing."""
        from mlflow.entities import Param

        entries = [Param(key, str(value)[:_PARAM_LIMIT]) for key, value in params.items()]
        for start in range(0, len(entries), _PARAM_BATCH):
            self._client.log_batch(run_id, params=entries[start : start + _PARAM_BATCH])

    def _log_file(self, run_id: str, path: Path) -> None:
        if path.exists():
            self._client.log_artifact(run_id, str(path))

    def _run(self, trial_id: str, name: str, tags: dict[str, str], began: float = nan) -> str:
        """Find or make the run tagged with ``trial_id``, which is ``search`` for the parent.

        ``began`` is its UNIX time of start; now if it is not known.
        """
        if trial_id in self._runs:
            return self._runs[trial_id]
        own = {"saat.search_id": self._tags["saat.search_id"], "saat.trial_id": trial_id}
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in own.items())
        found = self._client.search_runs([self._experiment_id], wanted, max_results=1)
        if not found:
            if PARENT in self._runs:  # a wiped server may have given its number to another
                self._client.get_run(self._runs[PARENT])
            given = {"run_name": name, "tags": {**tags, **own}, "start_time": _stamp(began)}
            found = [self._client.create_run(self._experiment_id, **given)]
        self._runs[trial_id] = str(found[0].info.run_id)
        return self._runs[trial_id]

    def _child(self, record: TrialRecord) -> str:
        tags = {
            "mlflow.parentRunId": self._runs[PARENT],
            "saat.config_hash": record.config_hash,
            "saat.protocol": self._tags["saat.protocol"],
            "saat.phase": record.spec.phase,
            "saat.role": record.spec.role,
            **origin.source_tags(self._origin),
        }
        return self._run(
            record.spec.trial_id, run_name(self._experiment, record), tags, record.started_at
        )

    def _log_progress(self, event: Event, state: SearchState) -> None:
        record, kind, when = state.trials[event["trial_id"]], event["event"], event["time"]
        run_id = self._child(record)
        step = int(event.get("epoch") or event.get("epochs") or len(record.epochs))
        final = metrics_of(event) if kind == "completed" else {}
        metrics = tracked_values.headline(self._experiment, final)
        metrics |= tracked_values.event_metrics(self._experiment.aims, event)
        if kind == "epoch":
            metrics |= tracked_values.best_so_far(self._experiment.aims, record, step)
        self._log_metrics(run_id, when, metrics, step)
        if kind != "failed" or not record.epochs:  # its last epoch has logged the cost
            # One step more than the last epoch's: the re-attack costs as well.
            costs = {"cost_s": record.cost_s}
            self._log_metrics(run_id, when, costs, step + (kind == "completed"))
        if kind == "completed" and record.spec.phase == "explore":
            aims = self._experiment.aims
            front = float(len(front_of(aims, state)))
            growth = {"hypervolume": explored_hypervolume(aims, state), "front_size": front}
            done = sum(r.status == "completed" for r in state.of_phase("explore"))
            self._log_metrics(self._runs[PARENT], when, growth, done)
            edges = tracked_values.space_edges_tag(self._experiment, state)
            self._client.set_tag(self._runs[PARENT], "saat.space_edges", edges)
        if kind != "epoch" or event.get("stop_reason"):
            stages = {f"seconds/{name}": seconds for name, seconds in record.stages.items()}
            self._log_metrics(run_id, when, stages, step)
            self._end(run_id, record)

    def _log_metrics(
        self, run_id: str, when: float, metrics: dict[str, float], step: int, **model: str
    ) -> None:
        """Log metrics with the UNIX time of their event, and of a ``model`` if they are its own.

        MLflow keeps a value once for each name, step and time, so an event may be delivered twice.
        """
        from mlflow.entities import Metric

        stamp = int(1000 * when)
        batch = [Metric(name, value, stamp, step, **model) for name, value in metrics.items()]
        self._client.log_batch(run_id, metrics=batch)

    def _end(self, run_id: str, record: TrialRecord) -> None:
        from mlflow.entities import RunTag

        links = {"search": self._page(PARENT), "report": self._page(PARENT, _REPORT_TAB)}
        note = trial_note(self._experiment, record, links)
        tags = {**tracked_values.end_tags(record), NOTE: note[:_NOTE_LIMIT]}
        self._client.log_batch(run_id, tags=[RunTag(key, text) for key, text in tags.items()])
        # Before the files, because a store of artifacts may refuse those.
        ended = _stamp(record.finished_at)
        self._client.set_terminated(run_id, _STATUS[record.status], ended)
        if record.status != "completed":
            return
        folder = self.run_dir / "trials" / record.spec.trial_id
        for name in _ARTIFACTS:
            self._log_file(run_id, folder / name)
        if record.spec.phase == "explore":
            self._log_file(run_id, folder / _WEIGHTS)
        elif (folder / _WEIGHTS).exists():
            model_id = log_network(
                self._client, self._experiment_id, run_id, record, folder / _WEIGHTS
            )
            # A trial's final numbers are those of its model, too.
            found = tracked_values.headline(self._experiment, record.metrics)
            of_model = {"model_id": model_id, **origin.dataset_names(self._tags)}
            self._log_metrics(run_id, record.finished_at, found, len(record.epochs), **of_model)

    def _finish(self, state: SearchState) -> None:
        parent = self._runs[PARENT]
        self._client.set_terminated(parent, "FINISHED", _stamp(state.latest))
        self._letters = letters_of(self.run_dir)
        for record in state.of_phase("confirm", "train"):
            letter = self._letters.get(record.config_hash, "")
            if letter:
                name = run_name(self._experiment, record, letter)
                self._client.update_run(self._child(record), name=name)
        log_report(self._client, parent, self.run_dir / "report")
        self._reported = True


def _stamp(seconds: float) -> int | None:
    """MLflow's time, in milliseconds, of a UNIX time; None, which is now, if it is not known."""
    return None if isnan(seconds) else int(1000 * seconds)

"""A search's runs at an MLflow server: one parent, one child a trial, written event by event.

Every call may be repeated after a failure: runs are found again by tags of our own, and MLflow
ignores what it already has.
"""

import json
from pathlib import Path
from typing import Any

from harness.experiment.config import Experiment
from harness.journal.journal import Event
from harness.journal.state import SearchState, TrialRecord
from harness.tracking import tracked_values
from harness.tracking.retries import FINAL_ERRORS, GONE
from harness.tracking.store import make_tables
from reports.csv_files import read_csv

_PARAM_LIMIT = 6000
_PARAM_BATCH = 100
_ARTIFACTS = ("config.json", "result.json", "per_query.parquet", "model.safetensors")
_STATUS = {"completed": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MlflowRuns:
    """The runs of one search, whose parent run has the ``tags``.

    With a SQLite store, artifacts are kept beside the database.
    """

    def __init__(
        self, uri: str, run_dir: Path, experiment: Experiment, tags: dict[str, str]
    ) -> None:
        self.uri, self.run_dir = uri, run_dir
        self._experiment, self._tags = experiment, tags
        self._runs: dict[str, str] = {}  # trial id, or "search" → run id
        self._experiment_id = ""
        self._client: Any = None

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
        parent = self._run("search", self._experiment.name, self._tags)
        self._log_params(parent, tracked_values.experiment_params(self._experiment))
        return parent

    def is_wiped(self) -> bool:
        """Whether the server has lost the parent run."""
        try:
            self._client.get_run(self._runs["search"])
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
            self._log_file(self._runs["search"], self.run_dir / "experiment.yaml")
        elif kind == "suggested":
            record = state.trials[event["trial"]["trial_id"]]
            params = {**record.config.flat(), "seed": record.spec.seed}
            self._log_params(self._child(record), params)
        elif kind in ("epoch", "completed", "failed"):
            self._log_progress(event, state)
        elif kind == "reported":
            self._finish()

    def _log_params(self, run_id: str, params: dict[str, Any]) -> None:
        """Log params; logging the same ones again changes nothing."""
        from mlflow.entities import Param

        entries = [Param(key, str(value)[:_PARAM_LIMIT]) for key, value in params.items()]
        for start in range(0, len(entries), _PARAM_BATCH):
            self._client.log_batch(run_id, params=entries[start : start + _PARAM_BATCH])

    def _log_file(self, run_id: str, path: Path, folder: str | None = None) -> None:
        if path.exists():
            self._client.log_artifact(run_id, str(path), folder)

    def _run(self, trial_id: str, name: str, tags: dict[str, str]) -> str:
        """Find or make the run tagged with ``trial_id``, which is ``search`` for the parent."""
        if trial_id in self._runs:
            return self._runs[trial_id]
        own = {"saat.search_id": self._tags["saat.search_id"], "saat.trial_id": trial_id}
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in own.items())
        found = self._client.search_runs([self._experiment_id], wanted, max_results=1)
        if not found:
            if "search" in self._runs:  # a wiped server may have given its number to another
                self._client.get_run(self._runs["search"])
            given = {"run_name": name, "tags": {**tags, **own}}
            found = [self._client.create_run(self._experiment_id, **given)]
        self._runs[trial_id] = str(found[0].info.run_id)
        return self._runs[trial_id]

    def _child(self, record: TrialRecord) -> str:
        tags = {
            "mlflow.parentRunId": self._runs["search"],
            "saat.config_hash": record.config_hash,
            "saat.protocol": self._tags["saat.protocol"],
            "saat.phase": record.spec.phase,
            "saat.role": record.spec.role,
        }
        return self._run(record.spec.trial_id, record.spec.trial_id, tags)

    def _log_progress(self, event: Event, state: SearchState) -> None:
        record, kind = state.trials[event["trial_id"]], event["event"]
        run_id = self._child(record)
        step = int(event.get("epoch") or event.get("epochs") or len(record.epochs))
        metrics = tracked_values.event_metrics(self._experiment.aims, event)
        if kind == "epoch":
            metrics |= tracked_values.best_so_far(self._experiment.aims, record, step)
        self._log_metrics(run_id, event, metrics, step)
        if kind != "failed" or not record.epochs:  # its last epoch has logged the cost
            # One step more than the last epoch's: the re-attack costs as well.
            costs = {"cost_s": record.cost_s}
            self._log_metrics(run_id, event, costs, step + (kind == "completed"))
        if kind == "completed" and record.spec.phase == "explore":
            done, volume = tracked_values.explored_hypervolume(self._experiment.aims, state)
            self._log_metrics(self._runs["search"], event, {"hypervolume": volume}, done)
            edges = tracked_values.space_edges_tag(self._experiment, state)
            self._client.set_tag(self._runs["search"], "saat.space_edges", edges)
        if kind != "epoch" or event.get("stop_reason"):
            stages = {f"seconds/{name}": seconds for name, seconds in record.stages.items()}
            self._log_metrics(run_id, event, stages, step)
            self._end(run_id, record)

    def _log_metrics(self, run_id: str, event: Event, metrics: dict[str, float], step: int) -> None:
        """Log metrics with the time of their event.

        MLflow keeps a value once for each name, step and time, so an event may be delivered twice.
        """
        from mlflow.entities import Metric

        stamp = int(1000 * event["time"])
        batch = [Metric(name, value, stamp, step) for name, value in metrics.items()]
        self._client.log_batch(run_id, metrics=batch)

    def _end(self, run_id: str, record: TrialRecord) -> None:
        for key, value in tracked_values.end_tags(record).items():
            self._client.set_tag(run_id, key, value)
        # Before the files, because a store of artifacts may refuse those.
        self._client.set_terminated(run_id, _STATUS[record.status])
        folder = self.run_dir / "trials" / record.spec.trial_id
        if record.status == "completed":
            for name in _ARTIFACTS:
                self._log_file(run_id, folder / name)

    def _finish(self) -> None:
        parent = self._runs["search"]
        self._client.set_terminated(parent, "FINISHED")
        folder = self.run_dir / "report"
        for name in ("report.html", "frontier.csv"):
            self._log_file(parent, folder / name)
        for figure in sorted((folder / "figures").glob("*.png")):
            self._log_file(parent, figure, "figures")
        if (folder / "frontier.csv").exists():  # the report may have been deleted since
            # log_table would append to the rows of an earlier try.
            front = read_csv(folder / "frontier.csv").astype(object).fillna("")
            table = front.to_dict(orient="split", index=False)
            self._client.log_dict(parent, table, "frontier.json")
            listed = json.dumps([{"path": "frontier.json", "type": "table"}])
            self._client.set_tag(parent, "mlflow.loggedArtifacts", listed)

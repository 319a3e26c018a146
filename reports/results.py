"""The result files of a search: their schema, how they are written and read.

The schema is described in ``docs/architecture.md``. Everything is stored as fractions.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2s
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import yaml

from reports.checksums import read_json
from reports.explanation import Explanation, KeyImportance, read_explanation
from reports.query_tables import read_parquet, read_per_query, read_strengths
from reports.run_folder import check_file, check_run_folder, trial_folder
from reports.tracked_runs import TrackedRuns, read_tracked_runs
from reports.trial_arrays import Arrays, read_examples, read_histograms
from saat.atomic_files import replacing
from saat.errors import InputError, one_line
from saat.feasibility import Aims
from saat.metrics import OBJECTIVES, REFERENCES, Phase, final_metrics

STATUSES = ("completed", "stopped", "failed", "running")
_TEXT, _INTEGER, _NUMBER = "string", "Int64", "float64"
_METRIC = "metric."
_STAGE = "seconds."
Found = TypeVar("Found")

_VALIDATED = {f"{_METRIC}{Phase.VALIDATION.key(name)}": _NUMBER for name in OBJECTIVES}
TRIAL_COLUMNS: dict[str, str] = {
    "trial_id": _TEXT,
    "number": _INTEGER,
    **dict.fromkeys(("config_hash", "dataset", "protocol_hash", "phase", "role"), _TEXT),
    "seed": _INTEGER,
    **dict.fromkeys(("status", "stop_reason", "unreliable", "out_of_memory"), _TEXT),
    **dict.fromkeys(("precision", "compile"), _TEXT),
    "epochs": _INTEGER,
    "cost_s": _NUMBER,
    "started_at": _NUMBER,
    "finished_at": _NUMBER,
    "host": _TEXT,
    **_VALIDATED,
    **{
        f"{_METRIC}{phase.key(name)}": _NUMBER
        for phase in (Phase.REATTACK, Phase.TEST)
        for name in (*OBJECTIVES, *REFERENCES)
    },
}
EPOCH_COLUMNS: dict[str, str] = {
    "trial_id": _TEXT,
    "epoch": _INTEGER,
    "seconds": _NUMBER,
    "finished_at": _NUMBER,
    "host": _TEXT,
    **_VALIDATED,
}
# Parquet has no mixed types, and step_size is "auto" or 0.01. Parameters not listed are text.
_PARAMETER_TYPES = {
    "boolean": "boolean",
    "integer": _INTEGER,
    **dict.fromkeys(("floating", "mixed-integer-float", "empty"), _NUMBER),
}


@dataclass(frozen=True)
class SearchResults:
    """The results of one search, or of one trained setting, on the disk."""

    name: str
    path: Path
    experiment: dict[str, Any]
    provenance: dict[str, Any]
    trials: pd.DataFrame
    epochs: pd.DataFrame
    # What the search's model says; None where the folder has nothing of it, as of older runs.
    explanation: Explanation | None = None
    # For the page; the tables do not tell them.
    notices: Sequence[str] = ()  # on the space
    importances: Sequence[KeyImportance] = ()  # of the searched keys
    tracked: TrackedRuns = field(default_factory=TrackedRuns)
    # Hash of a recommended setting → its letter; see `reports.confirmed.with_letters`.
    letters: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def aims(self) -> Aims:
        """Objectives, constraints and preference of the search."""
        return Aims.of(self.experiment)

    @property
    def explore(self) -> pd.DataFrame:
        """Trials of the search itself, in the order of suggestion."""
        explored = self.trials[self.trials["phase"] == "explore"]
        return explored.sort_values("number", kind="stable")

    @property
    def tested(self) -> pd.DataFrame:
        """All trials that were measured on test queries: confirmed and singly trained ones."""
        return self.trials[self.trials["phase"].isin(["confirm", "train"])]

    def section(self, name: str) -> dict[str, Any]:
        """A section of the experiment; empty where an earlier version wrote none."""
        return self.experiment.get(name) or {}

    @property
    def space(self) -> dict[str, Any]:
        """The searched parameters, such as ``defense.lambda``, and their ranges."""
        return self.section("space")

    @property
    def each(self) -> str:
        """The key of ``search.each``; empty without one."""
        return self.section("search").get("each") or ""

    @property
    def protocol_hashes(self) -> frozenset[str]:
        """Hashes of the protocols of the trials; one, unless files of several runs were mixed."""
        return frozenset(str(value) for value in self.trials["protocol_hash"].unique())

    @property
    def datasets(self) -> tuple[str, ...]:
        """Labels of the data sets of the trials; empty if the tables have none."""
        return tuple(sorted({str(value) for value in self.trials["dataset"] if value}))

    def keys_on(self, frame: pd.DataFrame) -> list[str]:
        """A short name of the setting of every trial, equal wherever the page shows the setting.

        The page links its figures and tables by them.
        """
        texts = (f"{self.name}/{found}" for found in frame["config_hash"])
        return [blake2s(text.encode(), digest_size=5).hexdigest() for text in texts]

    def letters_on(self, frame: pd.DataFrame) -> list[str]:
        """The letter of every trial; empty where its setting is not recommended."""
        return [self.letters.get(str(found), "") for found in frame["config_hash"]]

    def per_query(self, trial_id: str) -> pd.DataFrame | None:
        """AP per query, attack and restart, or None where the trial did not keep it.

        Raises:
            InputError: the file cannot be read.
        """
        return self._kept(trial_id, "per_query.parquet", read_per_query)

    def strengths(self, trial_id: str) -> pd.DataFrame | None:
        """AP per query along the radii and steps of the gates' attack, or None.

        Trials without a battery, and those of earlier versions, kept none.

        Raises:
            InputError: the file cannot be read.
        """
        return self._kept(trial_id, "strength.parquet", read_strengths)

    def histograms(self, trial_id: str) -> Arrays | None:
        """Histograms ``ATTACK_total`` and ``ATTACK_relevant``, int32 ``(Q, K+1)``, or None."""
        return self._kept(trial_id, "histograms.npz", read_histograms)

    def examples(self, trial_id: str) -> Arrays | None:
        """Thumbnails of queries and of what they retrieve, or None."""
        return self._kept(trial_id, "examples.npz", read_examples)

    def _kept(self, trial_id: str, name: str, read: Callable[[Path], Found]) -> Found | None:
        path = trial_folder(self.path, trial_id) / name
        return read(path) if os.path.lexists(path) else None


def metric_column(phase: Phase, name: str) -> str:
    """The column of a metric, for example ``metric.test/clean_map``."""
    return f"{_METRIC}{phase.key(name)}"


def measured_names(frame: pd.DataFrame, phase: Phase) -> list[str]:
    """Plain names of the metrics of a phase that any of the trials has."""
    begin = metric_column(phase, "")
    names = [str(name) for name in frame.columns if str(name).startswith(begin)]
    return [name.removeprefix(begin) for name in names if frame[name].notna().any()]


def stored_metrics(row: Mapping[Any, Any]) -> dict[str, float]:
    """Metrics of a trial's row by their stored names, such as ``test/clean_map``."""
    return {
        str(key).removeprefix(_METRIC): float(value)
        for key, value in row.items()
        if str(key).startswith(_METRIC) and value == value
    }


def final_metrics_of(frame: pd.DataFrame) -> list[dict[str, float]]:
    """Metrics under the full protocol by their plain names, one mapping per trial."""
    return [final_metrics(stored_metrics(row)) for row in frame.to_dict("records")]


def metric_cells(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics by their stored names as cells of a row; the inverse of `stored_metrics`."""
    return {f"{_METRIC}{key}": value for key, value in metrics.items()}


def stage_cells(seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds by stage (:class:`saat.stopwatch.Stage`) as cells of a trial's row."""
    return {f"{_STAGE}{name}": value for name, value in seconds.items()}


def stage_seconds(frame: pd.DataFrame) -> pd.DataFrame:
    """Seconds of trials by stage, a column each; none in the tables of older runs."""
    names = [str(name) for name in frame.columns if str(name).startswith(_STAGE)]
    return frame[names].rename(columns=lambda name: name.removeprefix(_STAGE))


def load_search(
    run_dir: Path, notices: Sequence[str] = (), importances: Sequence[KeyImportance] = ()
) -> SearchResults:
    """Read the results in ``run_dir``; the files of single trials are read when asked for.

    Raises:
        InputError: the folder, ``trials.parquet`` or ``experiment.yaml`` is missing or broken, or
            ``explanation.json`` is damaged.
    """
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise InputError(f"{run_dir}: no such run; allowed: a folder that `saat search` wrote")
    check_run_folder(run_dir)
    experiment = _read_mapping(run_dir / "experiment.yaml")
    epochs, provenance = run_dir / "epochs.parquet", run_dir / "provenance.json"
    required = ("trial_id", "phase", "status")
    return SearchResults(
        name=str(experiment.get("name") or run_dir.resolve().name),
        path=run_dir,
        experiment=experiment,
        provenance=read_json(provenance) if os.path.lexists(provenance) else {},
        trials=_read_table(run_dir / "trials.parquet", required, TRIAL_COLUMNS),
        epochs=_read_table(epochs, ("trial_id", "epoch"), EPOCH_COLUMNS)
        if os.path.lexists(epochs)
        else _typed(pd.DataFrame(), EPOCH_COLUMNS),
        explanation=read_explanation(run_dir),
        notices=notices,
        importances=importances,
        tracked=read_tracked_runs(run_dir),
    )


def write_trials(run_dir: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace ``trials.parquet`` by the given rows, atomically.

    Args:
        run_dir: folder of the search.
        rows: one mapping a trial: columns of the schema, ``param.*``, ``seconds.*`` and
            ``metric.*``. What a row lacks is stored as missing. A parameter that is text in one
            row and a number in another is stored as text.

    Raises:
        ValueError: a row has a key outside the schema.
    """
    _write_rows(Path(run_dir) / "trials.parquet", rows, TRIAL_COLUMNS)


def write_epochs(run_dir: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace ``epochs.parquet`` by the given rows, atomically; see `write_trials`."""
    _write_rows(Path(run_dir) / "epochs.parquet", rows, EPOCH_COLUMNS)


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]], schema: dict[str, str]) -> None:
    records = [dict(row) for row in rows]
    names = list(dict.fromkeys([*schema, *(key for record in records for key in record)]))
    unknown = [
        n for n in names if n not in schema and not n.startswith(("param.", _STAGE, _METRIC))
    ]
    if unknown:
        raise ValueError(f"{path.name} has no column {unknown[0]!r}; allowed: {', '.join(schema)}")
    frame = pd.DataFrame(records, columns=names, dtype=object)
    with replacing(path) as temporary:
        _typed(frame, schema).to_parquet(temporary, index=False, write_page_checksum=True)


def _typed(frame: pd.DataFrame, schema: dict[str, str]) -> pd.DataFrame:
    """Every column of the schema with its type, then parameters and further metrics."""
    columns: dict[str, pd.Series] = {}
    for name in dict.fromkeys([*schema, *frame.columns]):
        values = frame.get(name, pd.Series(None, frame.index, dtype=object)).astype(object)
        values = values.where(values.notna(), None)
        if name.startswith("param."):
            dtype = _PARAMETER_TYPES.get(pd.api.types.infer_dtype(values), _TEXT)
        else:
            dtype = schema.get(name, _NUMBER)
        columns[name] = values.astype(dtype)
        if dtype == _TEXT and not name.startswith("param."):
            columns[name] = columns[name].fillna("")
    return pd.DataFrame(columns, index=frame.index)


def _read_table(path: Path, required: tuple[str, ...], schema: dict[str, str]) -> pd.DataFrame:
    """A table of trials or of their epochs, every column with its type."""
    frame = read_parquet(path, required)
    try:
        return _typed(frame, schema)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: damaged: {one_line(error, 120)}") from None


def _read_mapping(path: Path) -> dict[str, Any]:
    check_file(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; every run has its experiment beside it") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not readable: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}; allowed: a mapping")
    return content

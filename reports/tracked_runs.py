"""Addresses of a search's runs in the MLflow UI, as the tracker left them in the run's folder.

No tracking server is asked, so a report is the same whether one answers or not.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reports.checksums import read_json
from saat.errors import InputError

TRACKED_RUNS = "tracked_runs.json"
ADDRESS = "MLflow"  # column of a table: the page of the row's runs
PARENT = "search"  # in the place of a trial's id
# Beginning of MLflow's page in which runs, not traces of language models, are shown.
TRAINING = "workflowType=machine_learning"
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_SERVER = re.compile(r"https?://[^\s@]+")


def run_page(experiment_id: str, run_id: str, tab: str = "") -> str:
    """The part of an address behind the server's: one run, or a tab or an artifact of it."""
    return f"#/experiments/{experiment_id}/runs/{run_id}{tab}?{TRAINING}"


@dataclass(frozen=True)
class TrackedRuns:
    """The runs of one search at a tracking server, or in the embedded store."""

    uri: str = ""  # empty where nothing was tracked
    experiment_id: str = ""
    runs: Mapping[str, str] = field(default_factory=dict)  # trial id, or PARENT → run id

    @property
    def server(self) -> str:
        """The beginning of every address; empty for a store that no server at hand shows."""
        return f"{self.uri.rstrip('/')}/" if _SERVER.fullmatch(self.uri) else ""

    def address(self, trial_ids: Iterable[str]) -> str:
        """The page of one trial's run, or the comparison of several; empty if one is not known."""
        found = [self.runs.get(trial_id, "") for trial_id in trial_ids]
        if not self.server or not found or not all(found):
            return ""
        if len(found) == 1:
            return self.server + run_page(self.experiment_id, found[0])
        runs, experiments = (quote(json.dumps(ids)) for ids in (found, [self.experiment_id]))
        return f"{self.server}#/compare-runs?runs={runs}&experiments={experiments}"


def addressed(addresses: Sequence[str]) -> dict[str, list[Any]]:
    """A column of addresses; none where no address is known."""
    return {ADDRESS: list(addresses)} if any(addresses) else {}


def read_tracked_runs(run_dir: Path) -> TrackedRuns:
    """What the tracker wrote; nothing where it wrote nothing, or the file is damaged."""
    path = run_dir / TRACKED_RUNS
    if not os.path.lexists(path):
        return TrackedRuns()
    with suppress(InputError):
        found = read_json(path)
        uri, experiment_id, runs = (found.get(key) for key in ("uri", "experiment_id", "runs"))
        if isinstance(uri, str) and isinstance(experiment_id, str) and isinstance(runs, dict):
            ids = [experiment_id, *runs.values()]
            if all(isinstance(one, str) and _ID.fullmatch(one) for one in ids):
                return TrackedRuns(uri, experiment_id, runs)
    return TrackedRuns()

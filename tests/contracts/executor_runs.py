"""Small searches that an executor carries out, and what they found."""

import os
from pathlib import Path
from typing import Any

from harness.executors import Executor
from harness.journal.journal import Journal
from harness.journal.state import TrialRecord
from harness.search.search import Search
from tests.harness.fakes import FINGERPRINT, STARTED
from tests.harness.tiny import context_of, tiny

# λ, and a learning rate and decay at which weights grow until the loss is no number: 2 × 2
# settings beside the default.
EXPERIMENT = tiny(
    {
        "name": "contract",
        "pretrain.epochs": 1,
        "defense.epochs": 3,
        "defense.lr": 0.05,
        "space": {
            "defense.lr": {"choice": [0.05, 100.0]},
            "defense.weight_decay": {"choice": [10.0], "when": {"defense.lr": 100.0}},
            "defense.lambda": {"choice": [0.1, 30.0]},
        },
        "search.num_samples": 4,
        "search.sampler": "random",
        "confirm.max_configs": 0,
    }
)


def search_in(runs_dir: Path, experiment: Any = EXPERIMENT, max_concurrent: int = 1) -> Search:
    run_dir = Path(context_of(experiment, runs_dir).run_dir)
    journal = Journal(run_dir)
    if not journal.events:
        journal.append("started", plan="search", **STARTED)
    return Search(experiment, journal, FINGERPRINT, max_concurrent)


def run(executor: Executor, runs_dir: Path, search: Search) -> Search:
    try:
        executor.run(search, context_of(search.experiment, runs_dir), lambda *_: None)
    finally:
        search.journal.close()
    return search


def outcome(record: TrialRecord) -> dict[str, Any]:
    """A trial without its clocks."""
    return {
        "spec": record.spec,
        "status": record.status,
        "reason": record.stop_reason.partition(" (see ")[0],
        "metrics": {
            key: value
            for key, value in record.metrics.items()
            if not key.endswith("/device_seconds")
        },
        "epochs": [(event["epoch"], event["metrics"]) for event in record.epochs],
    }


def own_workers() -> list[int]:
    """Ray workers that run a trial, among the descendants of this process (Linux)."""
    parents, titles = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
            titles[int(folder.name)] = (folder / "cmdline").read_bytes().decode()
        except (OSError, ValueError):
            continue  # it has ended
    found = []
    for process, title in titles.items():
        ancestor = process
        while ancestor in parents and ancestor != os.getpid():
            ancestor = parents[ancestor]
        if ancestor == os.getpid() and "ImplicitFunc" in title:
            found.append(process)
    return found

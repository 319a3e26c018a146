"""Where and how a search runs."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ExecutorName = Literal["ray", "inline"]
RUNS = Path("runs")  # of the command line


@dataclass(frozen=True)
class Options:
    """Where and how a search runs; what decides its results is in the experiment."""

    runs_dir: Path  # of all runs
    tracking_uri: str | None = None  # MLflow server; None for the embedded store
    executor: ExecutorName = "ray"
    address: str | None = None  # Ray cluster to connect to; None starts Ray here
    cache_dir: str | None = None  # node-local, for decoded images; None for the default
    autoscaling: bool = False  # a request that no node meets now waits for one that can
    allow: tuple[Path, ...] = ()  # files and folders outside a stored run that it may read
    share_trainings: bool = False  # finished trainings are kept for other runs and taken from them

    def as_arguments(self, *names: str) -> str:
        """Some fields as arguments of a command, a space before each; defaults are left out."""
        text = ""
        for name in names:
            value = getattr(self, name)
            if value != getattr(type(self), name, RUNS):
                flag = f" --{name.replace('_', '-')}"
                text += flag if value is True else f"{flag} {shlex.quote(str(value))}"
        return text

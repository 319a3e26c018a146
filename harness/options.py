"""Where and how a search runs."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ExecutorName = Literal["ray", "inline"]
RUNS = Path("runs")  # of the command line


@dataclass(frozen=True)
class Options:
    """Where and how a search runs; what decides its results is in the experiment.

    Attributes:
        runs_dir: folder of all runs.
        tracking_uri: MLflow server; None for the embedded store.
        executor: ``ray`` or ``inline``.
        address: Ray cluster to connect to; None starts Ray here.
        cache_dir: node-local cache of decoded images; None for the default.
        autoscaling: whether the cluster adds nodes by itself, so that a request that none meets
            now can wait for one.
        allow: files and folders outside a stored run that it may read.
    """

    runs_dir: Path
    tracking_uri: str | None = None
    executor: ExecutorName = "ray"
    address: str | None = None
    cache_dir: str | None = None
    autoscaling: bool = False
    allow: tuple[Path, ...] = ()

    def as_arguments(self, *names: str) -> str:
        """Some fields as arguments of a command, a space before each; defaults are left out."""
        text = ""
        for name in names:
            value = getattr(self, name)
            if value != getattr(type(self), name, RUNS):
                flag = f" --{name.replace('_', '-')}"
                text += flag if value is True else f"{flag} {shlex.quote(str(value))}"
        return text

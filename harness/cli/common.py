"""What the commands share: the application, their options, and a line for the person."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from saat.errors import printable

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Search, train, attack and compare adversarially robust deep hashing models.",
)

RunsDir = Annotated[Path, typer.Option(help="Folder of all runs.")]
Tracking = Annotated[
    str | None, typer.Option(help="MLflow tracking server; the default is RUNS_DIR/mlflow.db.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a key of the file.")
]
ExecutorOption = Annotated[str, typer.Option(help="ray, or inline (this process, one at a time).")]
Address = Annotated[str | None, typer.Option(help="Ray cluster to connect to, for example auto.")]
Autoscaling = Annotated[
    bool,
    typer.Option("--autoscaling", help="The cluster adds nodes by itself: wait for those needed."),
]
DataRoot = Annotated[
    Path | None, typer.Option(help="Folder that contains FLICKR-25K, …; the default is SAAT_DATA.")
]
CacheDir = Annotated[str | None, typer.Option(help="Node-local cache of decoded images.")]
ExperimentFile = Annotated[Path, typer.Argument(metavar="EXPERIMENT.yaml")]
RUNS = Path("runs")


def say(text: str) -> None:
    """A line for the person at the terminal, if any, beside the results on standard output."""
    lines = "\n".join(printable(line) for line in text.split("\n"))
    with suppress(OSError):
        print(lines, file=sys.stderr, flush=True)

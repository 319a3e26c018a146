"""What the commands share: the application, their options, and a line for the person."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from harness.files import existing_parent
from saat.errors import InputError, did_you_mean, one_line, printable
from saat.paths import file_name, user_path

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Search, train, attack and compare adversarially robust deep hashing models.",
)


def _folder(text: str) -> str:
    return str(user_path(text))


# Every path of the command line is read by the one function that knows what a path can be.
RunsDir = Annotated[
    Path, typer.Option(parser=user_path, metavar="FOLDER", help="Folder of all runs.")
]
RunName = Annotated[str, typer.Argument(parser=file_name, metavar="NAME")]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", parser=user_path, metavar="FOLDER", help="Folder to write."),
]
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
    Path | None,
    typer.Option(
        parser=user_path,
        metavar="FOLDER",
        help="Folder that contains FLICKR-25K, …; the default is SAAT_DATA.",
    ),
]
Allow = Annotated[
    list[Path] | None,
    typer.Option(
        "--allow",
        parser=user_path,
        metavar="PATH",
        help="File or folder outside a run, or model, of somebody else that it may read.",
    ),
]
CacheDir = Annotated[
    str | None,
    typer.Option(parser=_folder, metavar="FOLDER", help="Node-local cache of decoded images."),
]
ExperimentFile = Annotated[Path, typer.Argument(parser=user_path, metavar="EXPERIMENT.yaml")]
RUNS = Path("runs")


def say(text: str) -> None:
    """A line for the person at the terminal, if any, beside the results on standard output."""
    lines = "\n".join(printable(line) for line in text.split("\n"))
    with suppress(OSError):
        print(lines, file=sys.stderr, flush=True)


def existing_run(runs_dir: Path, name: str) -> Path:
    """The folder of a run.

    Raises:
        InputError: there is none; it names the run that is spelt most alike.
    """
    existing_parent(runs_dir, "--runs-dir")
    folder = runs_dir / name
    if not (folder / "experiment.yaml").is_file():
        known = sorted(path.parent.name for path in runs_dir.glob("*/experiment.yaml"))
        raise InputError(
            f"{one_line(folder, 200)}: no such search (no experiment.yaml there)"
            f"{did_you_mean(name, known)}"
        )
    return folder

"""What the commands share: the application, their options, and a line for the person."""

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from harness.files import existing_parent
from harness.options import RUNS as RUNS
from harness.options import ExecutorName, Options
from saat import __version__
from saat.errors import InputError, did_you_mean, one_line, printable
from saat.paths import file_name, user_path

app = typer.Typer(pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"saat-harness {__version__}")
        raise typer.Exit


@app.callback()
def saat_(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Search, train, attack and compare adversarially robust deep hashing models."""
    del version  # its callback has ended the command


def _folder(text: str) -> str:
    return str(user_path(text))


def run_names(ctx: typer.Context) -> list[str]:
    """Names of the runs in the folder of all runs, for the shell to complete."""
    folder = Path(ctx.params.get("runs_dir") or RUNS)
    return sorted(path.parent.name for path in folder.glob("*/experiment.yaml"))


# Every path of the command line is read by the one function that knows what a path can be.
RunsDir = Annotated[
    Path,
    typer.Option(parser=user_path, metavar="FOLDER", help="Keep all runs in this folder."),
]
RunName = Annotated[
    str,
    typer.Argument(
        parser=file_name, metavar="NAME", autocompletion=run_names, help="Take the run NAME."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", parser=user_path, metavar="FOLDER", help="Write to this folder."
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a key of the file.")
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        parser=user_path,
        metavar="FOLDER",
        show_default="SAAT_DATA",
        help="Look for FLICKR-25K, NUS-WIDE, … in this folder.",
    ),
]
Allow = Annotated[
    list[Path] | None,
    typer.Option(
        "--allow",
        parser=user_path,
        metavar="PATH",
        help="Read this file or folder for a run or model of somebody else.",
    ),
]
CacheDir = Annotated[
    str | None,
    typer.Option(
        parser=_folder,
        metavar="FOLDER",
        show_default="SAAT_CACHE, ~/.cache/saat-harness",
        help="Keep decoded images in this folder of the node.",
    ),
]
_EXECUTOR_HELP = "Run trials by ray, or inline: one at a time, in this process."
Executor = Annotated[str, typer.Option(help=_EXECUTOR_HELP)]
ResumedExecutor = Annotated[
    str | None, typer.Option(show_default="as the run began", help=_EXECUTOR_HELP)
]
ExperimentFile = Annotated[
    Path,
    typer.Argument(parser=user_path, metavar="EXPERIMENT.yaml", help="Read this experiment."),
]
# Field of Options → its option of the command line.
_OPTIONS: Mapping[str, Any] = {
    "executor": Executor,
    "address": Annotated[
        str | None,
        typer.Option(
            show_default="a Ray of this machine alone",
            help="Connect to this Ray cluster, for example auto.",
        ),
    ],
    "autoscaling": Annotated[
        bool, typer.Option("--autoscaling", help="Wait for nodes that the cluster adds by itself.")
    ],
    "runs_dir": RunsDir,
    "tracking_uri": Annotated[
        str | None,
        typer.Option(show_default="RUNS_DIR/mlflow.db", help="Track in this MLflow server."),
    ],
    "cache_dir": CacheDir,
    "allow": Allow,
}


def with_options(*names: str, **defaults: Any) -> Callable[[Callable[..., None]], Any]:
    """Decorator of a command: builds its ``options``, an :class:`Options`, of the command line.

    Args:
        names: fields of :class:`Options` that the command line can give.
        defaults: of fields that differ from those of the class.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_built(**given: Any) -> None:
            values = {name: given.pop(name) for name in names}
            command(**given, options=checked_options(**values))

        own = inspect.signature(command)
        kept = [p for p in own.parameters.values() if p.name != "options"]
        given = {"runs_dir": RUNS, "allow": None, **defaults}
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=given.get(name, getattr(Options, name, None)),
                annotation=_OPTIONS[name],
            )
            for name in names
        ]
        with_built.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
        with_built.__annotations__ = {p.name: p.annotation for p in [*kept, *added]}
        return with_built

    return decorate


def checked_options(**values: Any) -> Options:
    """Options of values that the command line gave.

    Raises:
        InputError: an unknown executor, or a cluster for the executor that uses none.
    """
    executor, allow = executor_name(values.get("executor", "ray")), values.get("allow")
    options = Options(**values | {"executor": executor, "allow": tuple(allow or ())})
    if options.executor == "inline" and options.address:
        raise InputError(
            f"--address {options.address}: the inline executor uses no cluster; --executor ray"
        )
    return options


def executor_name(text: str) -> ExecutorName:
    """The executor of that name.

    Raises:
        InputError: there is none.
    """
    known: tuple[ExecutorName, ...] = get_args(ExecutorName)
    for name in known:
        if name == text:
            return name
    raise InputError(f"--executor {one_line(text, 60)}: ray or inline{did_you_mean(text, known)}")


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

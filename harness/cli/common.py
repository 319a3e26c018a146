"""What the commands share: the application, their options, and a line for the person."""

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial, wraps
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from harness.cli import completion
from harness.files import existing_parent
from harness.interrupts import importing
from harness.options import RUNS as RUNS
from harness.options import ExecutorName, Options
from saat import __version__
from saat.errors import InputError, check_known, did_you_mean, one_line, printable
from saat.paths import file_name, user_path

if TYPE_CHECKING:  # pydantic, which `saat --help` needs nothing of
    from harness.experiment.config import Experiment


def examples(*commands: str) -> str:
    """The last lines of a command's help."""
    return "\n\n".join(("Examples:", *commands))


app = typer.Typer(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "saat list spaces",
        "saat search search_spaces/quickstart.yaml --dry-run",
        "saat search search_spaces/quickstart.yaml --executor inline",
        "saat status quickstart",
        "saat --install-completion",
    ),
)


def option(help: str, default: str | bool = True, **settings: Any) -> Any:
    """An option; its line in the help names ``default`` as what holds without it."""
    return typer.Option(help=help, show_default=default, **settings)


# Every path of the command line is read by the one function that knows what a path can be.
def path_option(help: str, *names: str, metavar: str = "FOLDER", **settings: Any) -> Any:
    """An option whose value is a path."""
    return typer.Option(*names, parser=user_path, metavar=metavar, help=help, **settings)


def path_argument(metavar: str, help: str) -> Any:
    """An argument that is a path."""
    return typer.Argument(parser=user_path, metavar=metavar, help=help)


def run_argument(help: str) -> Any:
    """An argument that is the name of a run."""
    return typer.Argument(
        parser=file_name, metavar="NAME", autocompletion=completion.run_names, help=help
    )


def _executor(text: str) -> str:
    check_known("executor", text, get_args(ExecutorName))
    return text


def _folder(text: str) -> str:
    return str(user_path(text))


RunsDir = Annotated[Path, path_option("Keep all runs in this folder.")]
RunName = Annotated[str, run_argument("Take the run NAME.")]
ExperimentFile = Annotated[Path, path_argument("EXPERIMENT.yaml", "Read this experiment.")]
Output = Annotated[Path | None, path_option("Write to this folder.", "-o", "--output")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=completion.settings,
        help="Replace a key of the file.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
DataRoot = Annotated[
    Path | None,
    path_option("Look for FLICKR-25K, NUS-WIDE, … in this folder.", show_default="SAAT_DATA"),
]
Allow = Annotated[
    list[Path] | None,
    path_option(
        "Read this file or folder for a run or model of somebody else.", "--allow", metavar="PATH"
    ),
]
CacheDir = Annotated[
    str | None,
    option(
        "Keep decoded images in this folder of the node.",
        "SAAT_CACHE, ~/.cache/saat-harness",
        parser=_folder,
        metavar="FOLDER",
    ),
]
_executor_option = partial(
    option,
    "Run trials by ray, or inline: one at a time, in this process.",
    parser=_executor,
    metavar="ray|inline",
    autocompletion=completion.words(*get_args(ExecutorName)),
)
Executor = Annotated[ExecutorName, _executor_option()]
ResumedExecutor = Annotated[ExecutorName | None, _executor_option("as the run began")]
# Field of Options → its option of the command line.
_OPTIONS: Mapping[str, Any] = {
    "executor": Executor,
    "address": Annotated[
        str | None,
        option("Connect to this Ray cluster, for example auto.", "a Ray of this machine alone"),
    ],
    "autoscaling": Annotated[
        bool, typer.Option("--autoscaling", help="Wait for nodes that the cluster adds by itself.")
    ],
    "runs_dir": RunsDir,
    "tracking_uri": Annotated[
        str | None, option("Track in this MLflow server.", "RUNS_DIR/mlflow.db")
    ],
    "cache_dir": CacheDir,
    "allow": Allow,
}


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"saat-harness {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def saat_(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Search, train, attack and compare adversarially robust deep hashing models."""
    del version  # its callback has ended the command
    if ctx.invoked_subcommand is None and (text := ctx.get_help()):  # or it is printed already
        print(text)


def with_options(
    *names: str, more: Mapping[str, Any] = MappingProxyType({}), **defaults: Any
) -> Callable[[Callable[..., None]], Any]:
    """Decorator of a command: builds its ``options``, an :class:`Options`, of the command line.

    ``names`` are the fields of it that the command line can give, ``defaults`` those of fields that
    differ from those of the class. ``more`` are annotated options that a command takes by name.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_built(**given: Any) -> None:
            values = {name: given.pop(name) for name in names}
            options = Options(**values | {"allow": tuple(values.get("allow") or ())})
            if options.executor == "inline" and options.address:
                raise InputError(
                    f"--address {options.address}: the inline executor uses no cluster; "
                    "--executor ray"
                )
            command(**given, options=options)

        own = inspect.signature(command)
        others = ("options", "given")
        parameters = [p for name, p in own.parameters.items() if name not in others]
        values = {"runs_dir": RUNS, "allow": None, **defaults}
        parameters += [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=values.get(name, getattr(Options, name, None)),
                annotation=annotation,
            )
            for name, annotation in {**more, **{name: _OPTIONS[name] for name in names}}.items()
        ]
        with_built.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        with_built.__annotations__ = {p.name: p.annotation for p in parameters}
        return with_built

    return decorate


def load(
    path: Path, overrides: list[str] | None, given: Mapping[str, object] | None = None
) -> "Experiment":
    """The experiment of a file with ``given`` keys but for None; the person is told notes on it."""
    with importing():
        from harness.experiment.file import load_experiment

    values = {key: value for key, value in (given or {}).items() if value is not None}
    experiment, notes = load_experiment(path, overrides or [], values)
    for note in notes:
        say(note)
    return experiment


def say(text: str) -> None:
    """A line for the person at the terminal, if any, beside the results on standard output."""
    lines = "\n".join(printable(line) for line in text.split("\n"))
    with suppress(OSError):
        print(lines, file=sys.stderr, flush=True)


def starting(text: str) -> None:
    """A line for the person at a terminal, before imports and checks that take seconds."""
    if sys.stderr.isatty():
        say(text)


def existing_run(runs_dir: Path, name: str) -> Path:
    """The folder of a run; where there is none, the error names the run that is most alike."""
    existing_parent(runs_dir, "--runs-dir")
    folder = runs_dir / name
    if not (folder / "experiment.yaml").is_file():
        hint = did_you_mean(name, completion.known_runs(runs_dir))
        raise InputError(
            f"{one_line(folder, 200)}: no such search (no experiment.yaml there){hint}"
        )
    return folder

"""The command ``saat``: thin; every command hands over to one function."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from harness.config import Experiment
from harness.experiment import load_experiment
from harness.options import Options
from saat.errors import InputError

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
DataRoot = Annotated[
    Path | None, typer.Option(help="Folder that contains FLICKR-25K, …; the default is SAAT_DATA.")
]
CacheDir = Annotated[str | None, typer.Option(help="Node-local cache of decoded images.")]
ExperimentFile = Annotated[Path, typer.Argument(metavar="EXPERIMENT.yaml")]
RUNS = Path("runs")


def say(text: str) -> None:
    """A line for the person at the terminal, beside the results on standard output."""
    print(text, file=sys.stderr, flush=True)


@app.command()
def search(
    experiment: ExperimentFile,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    num_samples: Annotated[int | None, typer.Option(help="Settings to sample.")] = None,
    max_concurrent: Annotated[int | None, typer.Option(help="Trials at once.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the search.")] = None,
    set_: Overrides = None,
    executor: ExecutorOption = "ray",
    address: Address = None,
    runs_dir: RunsDir = RUNS,
    tracking_uri: Tracking = None,
    cache_dir: CacheDir = None,
) -> None:
    """Search the trade-off between clean and robust MAP; confirm; report."""
    given: dict[str, object] = {
        "name": name,
        "search.num_samples": num_samples,
        "search.max_concurrent": max_concurrent,
        "seed": seed,
    }
    loaded = _load(experiment, set_, given)
    _start(loaded, "search", executor, address, runs_dir, tracking_uri, cache_dir)


@app.command()
def train(
    experiment: ExperimentFile,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    seed: Annotated[int | None, typer.Option(help="Training seed.")] = None,
    set_: Overrides = None,
    executor: ExecutorOption = "inline",
    address: Address = None,
    runs_dir: RunsDir = RUNS,
    tracking_uri: Tracking = None,
    cache_dir: CacheDir = None,
) -> None:
    """Train the experiment's own setting, without a search, and attack it on test queries."""
    loaded = _load(experiment, set_, {"name": name, "seed": seed})
    _start(loaded, "train", executor, address, runs_dir, tracking_uri, cache_dir)


@app.command()
def compare(
    experiment: ExperimentFile,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    max_concurrent: Annotated[int | None, typer.Option(help="Trials at once.")] = None,
    seed: Annotated[int | None, typer.Option(help="First of the training seeds.")] = None,
    set_: Overrides = None,
    executor: ExecutorOption = "ray",
    address: Address = None,
    runs_dir: RunsDir = RUNS,
    tracking_uri: Tracking = None,
    cache_dir: CacheDir = None,
) -> None:
    """Train the settings of the file's compare section under several seeds; attack them all."""
    given: dict[str, object] = {
        "name": name,
        "search.max_concurrent": max_concurrent,
        "seed": seed,
    }
    loaded = _load(experiment, set_, given)
    if not loaded.compare:
        raise InputError(f"{experiment}: compare: names no setting; give at least one")
    _start(loaded, "compare", executor, address, runs_dir, tracking_uri, cache_dir)


@app.command()
def resume(
    name: str,
    address: Address = None,
    runs_dir: RunsDir = RUNS,
    tracking_uri: Tracking = None,
    cache_dir: CacheDir = None,
) -> None:
    """Continue a search or training after any interruption."""
    from harness import session

    options = Options(runs_dir, tracking_uri, "ray", address, cache_dir)
    with _resumable(name, runs_dir):
        _conclude(session.resume(name, options, say))


@app.command()
def status(
    name: str,
    runs_dir: RunsDir = RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """How far a search is, from its journal; changes nothing."""
    from harness.status import render, status_of

    found = status_of(runs_dir / name)
    print(json.dumps(found, indent=1) if as_json else render(found))


@app.command()
def report(
    names: Annotated[list[str], typer.Argument(metavar="NAME...")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder to write.")] = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Write report.html, figures and tables of one or more searches."""
    from harness import session

    run_dirs = [runs_dir / name for name in names]
    for run_dir in run_dirs:
        session.read_experiment(run_dir)
    if output is None and len(run_dirs) > 1:
        raise InputError("report: several searches need a folder for their report: -o DIR")
    page = session.make_report(run_dirs, output or run_dirs[0] / "report")
    print(page)


@app.command()
def sync(name: str, runs_dir: RunsDir = RUNS, tracking_uri: Tracking = None) -> None:
    """Deliver to the tracking server what it has not received."""
    from harness import session

    print(session.sync(name, Options(runs_dir, tracking_uri)))


@app.command()
def ui(
    name: Annotated[str | None, typer.Argument()] = None,
    runs_dir: RunsDir = RUNS,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Open the MLflow UI over the runs, on 127.0.0.1."""
    from harness.ui import serve

    serve(runs_dir, name, port)


@app.command()
def evaluate(
    checkpoint: Annotated[
        Path | None, typer.Argument(help="A trial's folder or its model.safetensors.")
    ] = None,
    factory: Annotated[
        str | None, typer.Option(metavar="PKG:FN", help="Function that makes your own network.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Handed to the factory.")] = None,
    experiment: Annotated[
        Path | None, typer.Option(help="Data and protocol of another experiment file.")
    ] = None,
    label_map: Annotated[
        Path | None, typer.Option(help="Which class of that data is which class of the model.")
    ] = None,
    attack: Annotated[
        list[str] | None, typer.Option(help="Attacks; the model's own protocol by default.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Iterations of every attack.")] = None,
    eps: Annotated[str | None, typer.Option(help="Radius of the ball, for example 8/255.")] = None,
    battery: Annotated[str, typer.Option(help="none, core or full: attacks and gates.")] = "none",
    queries: Annotated[str, typer.Option(help="test or validation.")] = "test",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random starts.")] = 0,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder to write.")] = None,
    cache_dir: CacheDir = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    data_path: Annotated[
        Path | None, typer.Option(help="Where the folder of the model's data lies now.")
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Attack a trained model again, or a network of your own."""
    from harness.models import factory_subject, moved_subject, trained_subject
    from harness.reevaluate import Request, reevaluate

    request = Request(attack or [], steps, eps, queries, seed, output, device, battery)
    request.check()
    if (checkpoint is None) == (factory is None):
        raise InputError("evaluate: give a CHECKPOINT or --factory pkg:fn, one of the two")
    if label_map is not None and (checkpoint is None or experiment is None):
        raise InputError(f"--label-map {label_map}: belongs to a CHECKPOINT on --experiment's data")
    if checkpoint is None:
        if experiment is None:
            raise InputError(f"--factory {factory}: give --experiment FILE for data and protocol")
        subject = factory_subject(str(factory), weights, experiment, cache_dir)
    elif weights is not None:
        raise InputError(f"--weights {weights}: belongs to --factory")
    elif experiment is not None:
        subject, sentence = moved_subject(checkpoint, experiment, label_map, cache_dir)
        say(sentence)
    else:
        subject = trained_subject(checkpoint, cache_dir, data_path, data_root)
    print(reevaluate(subject, request, say))


@app.command()
def verify(name: str, runs_dir: RunsDir = RUNS, cache_dir: CacheDir = None) -> None:
    """Recompute a run's reported numbers from its stored images."""
    from harness.executors import SearchStopped
    from harness.verify import verify as recompute

    found = recompute(runs_dir / name, cache_dir, say)
    print(found.text())
    if found.wrong:
        raise SearchStopped(f"{name}: {len(found.wrong)} numbers are not what the images give")


@app.command()
def transfer(
    name: str,
    attack: Annotated[str, typer.Option(help="Attack whose stored images are used.")] = "mainstay",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder to write.")] = None,
    runs_dir: RunsDir = RUNS,
    cache_dir: CacheDir = None,
) -> None:
    """Measure images made on each model of a run on all the others."""
    from harness.transfer import transfer as measure

    run_dir = runs_dir / name
    print(measure(run_dir, attack, output or run_dir / "transfer", cache_dir, say))


@app.command()
def validate(files: Annotated[list[Path], typer.Argument(metavar="FILE...")]) -> None:
    """Check experiment files."""
    for file in files:
        experiment, _ = load_experiment(file)
        print(f"{file}: valid ({experiment.name}, {len(experiment.space)} searched keys)")


@app.command("list")
def list_(
    what: Annotated[
        str,
        typer.Argument(help="datasets, backbones, hashing, attacks, defenses, spaces, searches"),
    ],
    runs_dir: RunsDir = RUNS,
    data_root: DataRoot = None,
) -> None:
    """What is there to choose from."""
    from harness.listing import listing

    print(listing(what, runs_dir, data_root))


def _load(path: Path, overrides: list[str] | None, given: dict[str, object]) -> Experiment:
    pairs = [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
    experiment, notes = load_experiment(path, [*(overrides or []), *pairs])
    for note in notes:
        say(note)
    return experiment


def _start(
    experiment: Experiment,
    plan: str,
    executor: str,
    address: str | None,
    runs_dir: Path,
    tracking_uri: str | None,
    cache_dir: str | None,
) -> None:
    if executor not in ("ray", "inline"):
        raise InputError(f"--executor {executor}: ray or inline")
    if executor == "inline" and address:
        raise InputError(
            f"--address {address}: the inline executor uses no cluster; --executor ray"
        )
    from harness import session

    options = Options(runs_dir, tracking_uri, executor, address, cache_dir)  # type: ignore[arg-type]
    with _resumable(experiment.name, runs_dir):
        _conclude(session.start(experiment, options, plan, say))  # type: ignore[arg-type]


def _conclude(run_dir: Path) -> None:
    from harness.executors import SearchStopped
    from harness.journal import read
    from harness.session import summary
    from harness.state import SearchState

    state = SearchState(read(run_dir / "events.jsonl"))
    print(f"{summary(state)}; report: {run_dir / 'report' / 'report.html'}")
    failed = [record for record in state.trials.values() if record.status == "failed"]
    if failed and len(failed) == len(state.trials):
        raise SearchStopped(f"every trial failed, the first one so: {failed[0].stop_reason}")


@contextmanager
def _resumable(name: str, runs_dir: Path) -> Iterator[None]:
    """Tell how to go on after an interruption or a stop."""
    try:
        yield
    except InputError:
        raise
    except BaseException:
        if (runs_dir / name / "events.jsonl").exists():
            folder = "" if runs_dir == RUNS else f" --runs-dir {runs_dir}"
            say(f"continue with: saat resume {name}{folder}")
        raise

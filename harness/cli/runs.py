"""Commands that start, continue and show runs; thin, each hands over to one function."""

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import (
    RUNS,
    Address,
    Allow,
    Autoscaling,
    CacheDir,
    ExecutorOption,
    ExperimentFile,
    Output,
    Overrides,
    RunName,
    RunsDir,
    Tracking,
    app,
    existing_run,
    say,
)
from harness.experiment.config import Experiment
from harness.experiment.file import load_experiment
from harness.files import check_output
from harness.options import Options
from saat.errors import InputError, did_you_mean, one_line
from saat.paths import file_name
from saat.sanity import warning_lines


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
    autoscaling: Autoscaling = False,
    runs_dir: RunsDir = RUNS,
    tracking_uri: Tracking = None,
    cache_dir: CacheDir = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would run, and about how long.")
    ] = False,
) -> None:
    """Search the trade-off between clean and robust MAP; confirm; report."""
    given: dict[str, object] = {
        "name": name,
        "search.num_samples": num_samples,
        "search.max_concurrent": max_concurrent,
        "seed": seed,
    }
    loaded = _load(experiment, set_, given)
    if dry_run:
        from harness.session.dry_run import dry_run as describe

        options = _options(executor, address, runs_dir, tracking_uri, cache_dir, autoscaling)
        print(describe(loaded, options, say))
        return
    _start(loaded, "search", executor, address, runs_dir, tracking_uri, cache_dir, autoscaling)


@app.command()
def train(
    experiment: ExperimentFile,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    seed: Annotated[int | None, typer.Option(help="Training seed.")] = None,
    set_: Overrides = None,
    executor: ExecutorOption = "inline",
    address: Address = None,
    autoscaling: Autoscaling = False,
    runs_dir: RunsDir = RUNS,
    tracking_uri: Tracking = None,
    cache_dir: CacheDir = None,
) -> None:
    """Train the experiment's own setting, without a search, and attack it on test queries."""
    loaded = _load(experiment, set_, {"name": name, "seed": seed})
    _start(loaded, "train", executor, address, runs_dir, tracking_uri, cache_dir, autoscaling)


@app.command()
def compare(
    experiment: ExperimentFile,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    max_concurrent: Annotated[int | None, typer.Option(help="Trials at once.")] = None,
    seed: Annotated[int | None, typer.Option(help="First of the training seeds.")] = None,
    set_: Overrides = None,
    executor: ExecutorOption = "ray",
    address: Address = None,
    autoscaling: Autoscaling = False,
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
    _start(loaded, "compare", executor, address, runs_dir, tracking_uri, cache_dir, autoscaling)


@app.command()
def resume(
    name: RunName,
    address: Address = None,
    autoscaling: Autoscaling = False,
    runs_dir: RunsDir = RUNS,
    tracking_uri: Tracking = None,
    cache_dir: CacheDir = None,
    allow: Allow = None,
) -> None:
    """Continue a search or training after any interruption.

    A tracking server is contacted only if it is named again. Of a run that you did not begin here,
    what it names outside its folder is read only if you allow it.
    """
    from harness.session import session

    existing_run(runs_dir, name)
    named = tuple(allow or ())
    options = Options(runs_dir, tracking_uri, "ray", address, cache_dir, autoscaling, named)
    with _resumable(name, runs_dir, tracking_uri, lambda: [str(path) for path in named]):
        _conclude(session.resume(name, options, say))


@app.command()
def status(
    name: RunName,
    runs_dir: RunsDir = RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """How far a search is, from its journal; changes nothing."""
    from harness.session.status import render, status_of

    found = status_of(existing_run(runs_dir, name))
    print(json.dumps(found, indent=1) if as_json else render(found))


@app.command()
def report(
    names: Annotated[list[str], typer.Argument(parser=file_name, metavar="NAME")],
    output: Output = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Write report.html, figures and tables of one or more searches."""
    from harness.session import session
    from harness.session.stored_run import read_stored

    run_dirs = [existing_run(runs_dir, name) for name in names]
    for run_dir in run_dirs:
        read_stored(run_dir)
    if output is None and len(run_dirs) > 1:
        raise InputError("report: several searches need a folder for their report: -o DIR")
    if output is not None:
        check_output(output, ["report.html", "figures", "tables"])
    page = session.make_report(run_dirs, output or run_dirs[0] / "report", say)
    print(page)


@app.command()
def sync(name: RunName, runs_dir: RunsDir = RUNS, tracking_uri: Tracking = None) -> None:
    """Deliver to the tracking server what it has not received.

    A server, unlike the embedded store, has to be named again.
    """
    from harness.session import session

    existing_run(runs_dir, name)
    print(session.sync(name, Options(runs_dir, tracking_uri)))


@app.command()
def ui(
    name: Annotated[str | None, typer.Argument(parser=file_name, metavar="NAME")] = None,
    runs_dir: RunsDir = RUNS,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Open the MLflow UI over the runs, on 127.0.0.1."""
    from harness.session.ui import serve

    serve(runs_dir, name, port)


def _load(path: Path, overrides: list[str] | None, given: dict[str, object]) -> Experiment:
    values = {key: value for key, value in given.items() if value is not None}
    experiment, notes = load_experiment(path, overrides or [], values)
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
    autoscaling: bool,
) -> None:
    from harness.session import session

    options = _options(executor, address, runs_dir, tracking_uri, cache_dir, autoscaling)
    to_allow = partial(session.paths_to_allow, experiment, runs_dir)
    with _resumable(experiment.name, runs_dir, tracking_uri, to_allow):
        _conclude(session.start(experiment, options, plan, say))  # type: ignore[arg-type]


def _options(
    executor: str,
    address: str | None,
    runs_dir: Path,
    tracking_uri: str | None,
    cache_dir: str | None,
    autoscaling: bool,
) -> Options:
    if executor not in ("ray", "inline"):
        hint = did_you_mean(executor, ("ray", "inline"))
        raise InputError(f"--executor {one_line(executor, 60)}: ray or inline{hint}")
    if executor == "inline" and address:
        raise InputError(
            f"--address {address}: the inline executor uses no cluster; --executor ray"
        )
    return Options(runs_dir, tracking_uri, executor, address, cache_dir, autoscaling)  # type: ignore[arg-type]


def _conclude(run_dir: Path) -> None:
    from harness.executors import SearchStopped
    from harness.journal.journal import read
    from harness.journal.state import SearchState
    from harness.session.session import summary
    from harness.session.status import finished_metrics

    state = SearchState(read(run_dir / "events.jsonl"))
    print(f"{summary(state)}; report: {run_dir / 'report' / 'report.html'}")
    for line in warning_lines(finished_metrics(state)):
        say(f"warning: {line}")
    failed = [record for record in state.trials.values() if record.status == "failed"]
    if failed and len(failed) == len(state.trials):
        raise SearchStopped(f"every trial failed, the first one so: {failed[0].stop_reason}")


@contextmanager
def _resumable(
    name: str, runs_dir: Path, tracking_uri: str | None, to_allow: Callable[[], list[str]]
) -> Iterator[None]:
    """Tell how to go on after an interruption or a stop; ``to_allow``: what has to be named."""
    try:
        yield
    except InputError:
        raise
    except BaseException:
        if (runs_dir / name / "events.jsonl").exists():
            folder = "" if runs_dir == RUNS else f" --runs-dir {shlex.quote(str(runs_dir))}"
            server = f" --tracking-uri {shlex.quote(tracking_uri)}" if tracking_uri else ""
            allowed = "".join(f" --allow {shlex.quote(path)}" for path in to_allow())
            say(f"continue with: saat resume {name}{folder}{server}{allowed}")
        raise

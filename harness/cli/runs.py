"""Commands that start, continue and show runs; thin, each hands over to one function."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import interrupts
from harness.cli import completion
from harness.cli.common import (
    RUNS,
    ExperimentFile,
    Json,
    Output,
    Overrides,
    ResumedExecutor,
    RunName,
    RunsDir,
    app,
    examples,
    existing_run,
    load,
    option,
    run_argument,
    say,
    starting,
    with_options,
)
from harness.files import check_output
from harness.interrupts import importing
from harness.options import ExecutorName, Options
from harness.search_stopped import SearchStopped
from saat.errors import InputError, printable

if TYPE_CHECKING:  # pydantic and torch, which `saat --help` needs nothing of
    from harness.search.plan import Plan

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would run and what it would cost, and end.")
]
# Keys of the file that options of a command replace, by the last word of the key.
_KEYS: Mapping[str, tuple[type[Any], str]] = {
    "name": (str, "Give the run this name."),
    "search.num_samples": (int, "Sample this many settings."),
    "search.max_concurrent": (int, "Run this many trials at once."),
    "seed": (int, "Derive all random numbers from this seed."),
}
_SHARED_OPTIONS = ("address", "autoscaling", "runs_dir", "tracking_uri", "cache_dir")


def _starting(
    plan: "Plan", summary: str, last: str, *keys: str, executor: ExecutorName = "ray"
) -> None:
    """Add the command of a plan; ``keys`` are those of :data:`_KEYS` that it has options for.

    ``last`` are the examples of its help.
    """
    names = {key.rpartition(".")[2]: key for key in keys}

    def command(
        experiment: ExperimentFile,
        options: Options,
        set_: Overrides = None,
        dry_run: DryRun = False,
        as_json: Json = False,
        **given: Any,
    ) -> None:
        starting(f"{experiment}: reading and checking")
        loaded = load(experiment, set_, {names[name]: value for name, value in given.items()})
        if plan == "compare" and not loaded.compare:
            raise InputError(f"{experiment}: compare: names no setting; give at least one")
        if dry_run:
            with importing():
                from harness.session import dry_run_text as shown
                from harness.session.dry_run import dry_run as planned
            found = planned(loaded, plan, options, say)
            print(json.dumps(shown.as_json(found), indent=1) if as_json else shown.as_text(found))
            return
        if as_json:
            raise InputError("--json: goes with --dry-run")
        starting(f"{loaded.name}: loading PyTorch, then checking data, devices and folders")
        with importing():
            from harness.session import session
        to_allow = partial(session.paths_to_allow, loaded, options.runs_dir)
        with _resumable(loaded.name, options.executor, options, to_allow):
            conclude(session.start(loaded, options, plan, say))

    more = {
        name: Annotated[_KEYS[key][0] | None, option(_KEYS[key][1], f"{key} of the file")]
        for name, key in names.items()
    }
    shared = with_options("executor", *_SHARED_OPTIONS, more=more, executor=executor)
    app.command(plan, help=summary, epilog=last)(shared(command))


_starting(
    "search",
    "Search the trade-off between clean and robust MAP, confirm the best settings, and report.",
    examples(
        "saat search search_spaces/quickstart.yaml --dry-run",
        "saat search search_spaces/quickstart.yaml --executor inline --name first",
        "saat search search_spaces/quickstart.yaml --set search.sampler=tpe --num-samples 8",
        "saat search search_spaces/saat_lambda_mu.yaml --address auto",
    ),
    *_KEYS,
)
_starting(
    "train",
    "Train the experiment's own setting, without a search, and attack it on test queries.",
    examples(
        "saat train search_spaces/quickstart.yaml --name one",
        "saat train search_spaces/quickstart.yaml --set defense.lambda=4 --set defense.eps=10/255",
    ),
    "name",
    "seed",
    executor="inline",
)
_starting(
    "compare",
    "Train the settings of the file's compare section under several seeds, and attack them all.",
    examples(
        "saat compare search_spaces/defenses_digits.yaml --dry-run",
        "saat compare search_spaces/defenses_digits.yaml --executor inline",
    ),
    "name",
    "search.max_concurrent",
    "seed",
)


@app.command(epilog=examples("saat resume first", "saat resume first --executor inline"))
@with_options(*_SHARED_OPTIONS, "allow")
def resume(name: RunName, options: Options, executor: ResumedExecutor = None) -> None:
    """Continue a search or training after any interruption.

    A tracking server is contacted only if it is named again. Of a run that you did not begin here,
    what it names outside its folder is read only if you allow it.
    """
    existing_run(options.runs_dir, name)
    starting(f"{name}: loading PyTorch, then checking data, devices and folders")
    with importing():
        from harness.session import session
    with _resumable(name, executor, options, lambda: [str(path) for path in options.allow]):
        conclude(session.resume(name, options, say, executor))


@app.command(epilog=examples("saat status first", "saat status first --json"))
def status(name: RunName, runs_dir: RunsDir = RUNS, as_json: Json = False) -> None:
    """Show how far a run is, from its journal, and change nothing."""
    with importing():
        from harness.session.status import render, status_of

    found = status_of(existing_run(runs_dir, name))
    print(json.dumps(found, indent=1) if as_json else render(found))


@app.command(
    epilog=examples(
        "saat report first",
        "saat report first second third",
        "saat report first second -o both",
        "saat report first --by defense.steps",
        "saat report first --print",
        "saat report first --live",
    )
)
def report(
    names: Annotated[list[str], run_argument("Take the runs of these names.")],
    output: Output = None,
    by: Annotated[
        str | None,
        option(
            "Show a front for each value of this searched key.",
            "one for each code length",
            autocompletion=completion.searched_keys,
        ),
    ] = None,
    print_: Annotated[
        bool,
        typer.Option("--print", help="Write figures 3.5 and 7.16 inches wide too, as PDF and SVG."),
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Show the report of a running search on 127.0.0.1.")
    ] = False,
    port: Annotated[
        int | None,
        option("Listen on this port of 127.0.0.1 with --live.", "5001", min=1, max=65535),
    ] = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Write report.html, figures and tables of one or more runs.

    Without -o they are written into the first run's folder: report, or report-overlaid of several.
    """
    with importing():
        from harness.experiment.strata import check_by
        from harness.session import session
        from harness.session.resume_checks import read_stored

    run_dirs = [existing_run(runs_dir, name) for name in names]
    for run_dir in run_dirs:
        experiment, _ = read_stored(run_dir)
        if by is not None:
            check_by(by, experiment.space, run_dir.name)
    if port is not None and not live:
        raise InputError("--port: goes with --live")
    if live:
        if len(run_dirs) > 1:
            raise InputError("--live: follows one search; name one")
        if output is not None:
            raise InputError("--live: serves from a temporary folder; leave out -o")
        if print_:
            raise InputError("--live: writes no figures for print; leave out --print")
        with importing():
            from harness.session.live_report import serve_live
        serve_live(run_dirs[0], port or 5001, say, by or "")
        return
    if output is not None:
        check_output(output, ["report.html", "figures", "tables"])
    # That of several runs does not take the place of the first one's own.
    own = "report" if len(run_dirs) == 1 else "report-overlaid"
    files: Any = "print" if print_ else "usual"
    page = session.make_report(run_dirs, output or run_dirs[0] / own, say, by or "", files)
    print(page)


@app.command(
    epilog=examples("saat sync first", "saat sync first --tracking-uri http://127.0.0.1:5000")
)
@with_options("runs_dir", "tracking_uri")
def sync(name: RunName, options: Options) -> None:
    """Deliver to the tracking server what it has not received.

    A server, unlike the embedded store, has to be named again.
    """
    existing_run(options.runs_dir, name)
    with importing():
        from harness.session import session
    print(session.sync(name, options))


@app.command(epilog=examples("saat ui", "saat ui first --port 5001"))
def ui(
    name: Annotated[str | None, run_argument("Show this run alone.")] = None,
    runs_dir: RunsDir = RUNS,
    port: Annotated[int, option("Listen on this port of 127.0.0.1.", min=1, max=65535)] = 5000,
) -> None:
    """Open the MLflow UI over the runs, on 127.0.0.1."""
    with importing():
        from harness.session.ui import serve
    serve(runs_dir, name, port)


def conclude(run_dir: Path) -> None:
    """Print how a run ended; raises SearchStopped where every trial failed."""
    from harness.journal.state import load_state, summary
    from harness.session.confirmed import confirmed_lines, confirmed_settings, warnings
    from harness.session.resume_checks import read_stored

    _, state = load_state(run_dir)
    print(f"{summary(state)}; report: {run_dir / 'report' / 'report.html'}")
    confirmed = confirmed_settings(read_stored(run_dir)[0], state)
    for line in confirmed_lines(confirmed, state.recommended):
        print(printable(line))
    for line in warnings(state, confirmed):
        say(f"warning: {line}")
    failed = [record for record in state.trials.values() if record.status == "failed"]
    if failed and len(failed) == len(state.trials):
        raise SearchStopped(f"every trial failed, the first one so: {failed[0].stop_reason}")


@contextmanager
def _resumable(
    name: str, executor: str | None, options: Options, to_allow: Callable[[], list[str]]
) -> Iterator[None]:
    """Tell how to go on after an interruption or a stop; ``to_allow``: what has to be named."""
    try:
        yield
    except InputError:
        raise
    except BaseException as error:
        if (options.runs_dir / name / "events.jsonl").exists():
            by = f" --executor {executor}" if executor else ""
            allowed = "".join(f" --allow {shlex.quote(path)}" for path in to_allow())
            hint = (
                f"continue with: saat resume {name}{by}"
                f"{options.as_arguments(*_SHARED_OPTIONS)}{allowed}"
            )
            if isinstance(error, KeyboardInterrupt):
                interrupts.advice.append(hint)
            else:
                say(hint)
        raise

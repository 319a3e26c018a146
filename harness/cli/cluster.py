"""Commands on machines; thin, each hands over to one function."""

import json
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import (
    RUNS,
    Address,
    Autoscaling,
    CacheDir,
    Overrides,
    RunsDir,
    Tracking,
    app,
    say,
)
from harness.experiment.file import load_experiment
from harness.options import ExecutorName, Options
from saat.errors import InputError
from saat.paths import user_path


@app.command()
def preflight(
    experiment: Annotated[
        Path | None, typer.Argument(parser=user_path, metavar="EXPERIMENT.yaml")
    ] = None,
    set_: Overrides = None,
    address: Address = None,
    autoscaling: Autoscaling = False,
    runs_dir: RunsDir = RUNS,
    tracking_uri: Tracking = None,
    cache_dir: CacheDir = None,
    timeout: Annotated[
        float, typer.Option(min=1, max=86_400, help="Seconds for a node to answer.")
    ] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check every node of a cluster, or this machine: is all there that a search needs?"""
    from harness.preflight import preflight as check

    loaded = None
    if experiment is not None:
        loaded, notes = load_experiment(experiment, set_ or [])
        for note in notes:
            say(note)
    elif set_:
        raise InputError(f"--set {set_[0].partition('=')[0]}: belongs to an EXPERIMENT.yaml")
    executor: ExecutorName = "ray" if address else "inline"
    options = Options(runs_dir, tracking_uri, executor, address, cache_dir, autoscaling)
    found = check(loaded, options, timeout)
    print(json.dumps(found.content(), indent=1) if as_json else found.text())
    for line in found.failures:
        say(f"saat: {line}")
    if found.failures:
        raise typer.Exit(1)

"""Commands on machines; thin, each hands over to one function."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import Overrides, app, say, with_options
from harness.interrupts import importing
from harness.options import Options
from saat.errors import InputError
from saat.paths import user_path


@app.command()
@with_options("address", "autoscaling", "runs_dir", "tracking_uri", "cache_dir")
def preflight(
    options: Options,
    experiment: Annotated[
        Path | None,
        typer.Argument(
            parser=user_path, metavar="EXPERIMENT.yaml", help="Check what this experiment needs."
        ),
    ] = None,
    set_: Overrides = None,
    timeout: Annotated[
        float, typer.Option(min=1, max=86_400, help="Wait this many seconds for a node to answer.")
    ] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Check that every node of a cluster, or this machine, has all that a search needs."""
    with importing():
        from harness.experiment.file import load_experiment
        from harness.preflight.command import preflight as check

    loaded = None
    if experiment is not None:
        loaded, notes = load_experiment(experiment, set_ or [])
        for note in notes:
            say(note)
    elif set_:
        raise InputError(f"--set {set_[0].partition('=')[0]}: belongs to an EXPERIMENT.yaml")
    options = replace(options, executor="ray" if options.address else "inline")
    found = check(loaded, options, timeout)
    print(json.dumps(found.content(), indent=1) if as_json else found.text())
    for line in found.failures:
        say(f"saat: {line}")
    if found.failures:
        raise typer.Exit(1)

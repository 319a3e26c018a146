"""Commands on machines; thin, each hands over to one function."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import Json, Overrides, app, load, option, path_argument, say, with_options
from harness.interrupts import importing
from harness.options import Options
from saat.errors import InputError


@app.command()
@with_options("address", "autoscaling", "runs_dir", "tracking_uri", "cache_dir")
def preflight(
    options: Options,
    experiment: Annotated[
        Path | None, path_argument("EXPERIMENT.yaml", "Check what this experiment needs.")
    ] = None,
    set_: Overrides = None,
    timeout: Annotated[
        float, option("Wait this many seconds for a node to answer.", min=1, max=86_400)
    ] = 60,
    as_json: Json = False,
) -> None:
    """Check that every node of a cluster, or this machine, has all that a search needs."""
    with importing():
        from harness.preflight.command import preflight as check

    if experiment is None and set_:
        raise InputError(f"--set {set_[0].partition('=')[0]}: belongs to an EXPERIMENT.yaml")
    loaded = None if experiment is None else load(experiment, set_)
    options = replace(options, executor="ray" if options.address else "inline")
    found = check(loaded, options, timeout)
    print(json.dumps(found.content(), indent=1) if as_json else found.text())
    for line in found.failures:
        say(f"saat: {line}")
    if found.failures:
        raise typer.Exit(1)

"""``saat reproduce``: the paper's tables and figures; thin, hands over to one function."""

import json
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completion
from harness.cli.common import (
    DataRoot,
    Json,
    Output,
    app,
    examples,
    option,
    say,
    with_options,
)
from harness.files import check_output
from harness.interrupts import importing
from harness.options import Options
from saat.errors import InputError


@app.command(
    epilog=examples(
        "saat reproduce table2 --data digits --scale small --dry-run",
        "saat reproduce table3 figure6 --data flickr25k --data-root data",
    )
)
@with_options("executor", "address", "runs_dir", "tracking_uri", "cache_dir")
def reproduce(
    tables: Annotated[
        list[str],
        typer.Argument(
            metavar="TABLE",
            autocompletion=completion.paper_items,
            help="Make these: table2 to table8, figure3 to figure7, or all.",
        ),
    ],
    options: Options,
    data: Annotated[
        str,
        option("Use this data set.", metavar="DATASET", autocompletion=completion.paper_datasets),
    ] = "digits",
    scale: Annotated[
        str,
        option(
            "Train as published, or small: full or small.",
            autocompletion=completion.words("full", "small"),
        ),
    ] = "small",
    bits: Annotated[
        list[int] | None, option("Train models of this code length alone.", "all of the paper")
    ] = None,
    gpus: Annotated[
        float | None, option("Give every trial so many GPUs.", "that of the scale", min=0, max=1024)
    ] = None,
    output: Output = None,
    data_root: DataRoot = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print trainings, attacks and device-hours, and end."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make tables and figures of the paper, with its numbers beside ours.

    Runs that several of them need are shared. The same command continues what was interrupted.
    """
    if as_json and not dry_run:
        raise InputError("--json: goes with --dry-run")
    with importing():
        from harness.reproduce.profile import profile_of
        from reports.paper.declared import chosen_items

    chosen = chosen_items(tables)
    profile = profile_of(data, scale, data_root, gpus, bits or ())
    out_dir: Path = output or options.runs_dir / profile.name
    if dry_run:
        with importing():
            from harness.reproduce import costs, costs_text
        found = costs.dry_run(chosen, profile, options, say)
        if as_json:
            print(json.dumps(costs_text.as_json(found), indent=1))
        else:
            print(costs_text.as_text(found))
        return
    check_output(out_dir, ["index.md"])
    with importing():
        from harness.reproduce import reproduce as work
    print(work.reproduce(chosen, profile, options, out_dir, say))

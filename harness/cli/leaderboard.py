"""Commands of a leaderboard; thin, each hands over to one function."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completion
from harness.cli.common import (
    RunName,
    app,
    examples,
    existing_run,
    option,
    path_option,
    say,
    with_options,
)
from harness.files import writable_parent
from harness.interrupts import importing
from harness.options import Options
from saat.errors import InputError

board = typer.Typer(
    help="Keep verified settings by protocol, and show them on static pages.",
    epilog=examples("saat leaderboard add first", "saat leaderboard page"),
)
app.add_typer(board, name="leaderboard")

_FOLDER = Path("leaderboard")
Into = Annotated[Path, path_option("Keep the leaderboard in this folder.", "--into")]


@board.command()
@with_options("runs_dir", "cache_dir", "allow")
def add(
    name: RunName,
    options: Options,
    setting: Annotated[
        str | None,
        option(
            "Take this setting: its role, its label, or the beginning of its config hash.",
            "all that were confirmed",
            autocompletion=completion.roles,
        ),
    ] = None,
    into: Into = _FOLDER,
    claimed: Annotated[
        str | None,
        option(
            "Show these numbers of a paper beside the verified ones.",
            "none",
            metavar="map=FRACTION,robust=FRACTION",
        ),
    ] = None,
    paper: Annotated[
        str | None, option("Show this paper beside the defense.", "that of the defense")
    ] = None,
    year: Annotated[int | None, option("Show this year of --paper.", "that of the defense")] = None,
    link: Annotated[
        str | None, option("Show this address of --paper.", "that of the defense")
    ] = None,
    protocol: Annotated[
        str | None,
        option("Take only a run of this protocol: a board, or the beginning of its hash.", "any"),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an entry of the same setting.")
    ] = False,
) -> None:
    """Check a finished run as verify does, and add its confirmed settings to a leaderboard."""
    with importing():
        from harness.leaderboard.from_run import entries_of
        from harness.leaderboard.request import Request, parse_claimed, parse_reference
        from harness.leaderboard.store import add_entries

    if (paper is None) != (year is None) or (link is not None and paper is None):
        raise InputError("--paper: goes with --year, and --link with both")
    request = Request(
        setting,
        None if claimed is None else parse_claimed(claimed),
        None if paper is None else parse_reference(paper, year, link),
        protocol,
    )
    run_dir = existing_run(options.runs_dir, name)
    writable_parent(into, "--into")  # before the minutes that verification takes
    entries = entries_of(run_dir, request, options.cache_dir, say, options.allow)
    print("\n".join(add_entries(into, entries, replace)))


@board.command()
def page(into: Into = _FOLDER) -> None:
    """Check every entry of a leaderboard, and write its pages and tables."""
    with importing():
        from harness.leaderboard.pages import write_pages

    print("\n".join(map(str, write_pages(into))))

"""Running what tables and figures need, each run once, and writing their pages."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness.experiment.config import Experiment
from harness.journal.journal import read
from harness.journal.state import load_state
from harness.options import Options
from harness.reproduce.profile import Profile
from harness.reproduce.retrieved import retrieved_panels
from harness.session import session
from harness.session.checks import check_folders, check_tracking
from harness.session.result_tables import write_tables
from harness.session.resume_checks import read_stored
from reports.paper.declared import Item, Run, needed_runs, runs
from reports.paper.measured import Measured
from reports.paper.page import write_index, write_page
from reports.results import load_search
from saat.data import DATASETS, locate
from saat.errors import InputError

State = Literal["absent", "begun", "finished"]
# Sections of an experiment that decide its numbers; the others say where and how fast it runs.
_DECIDING = ("seed", "data", "model", "pretrain", "defense", "compare", "confirm", "validation",
             "evaluation")  # fmt: skip


@dataclass(frozen=True)
class Planned:
    """A run, its experiment, and how far it is."""

    run: Run
    experiment: Experiment
    state: State


def planned_runs(items: Sequence[Item], profile: Profile, runs_dir: Path) -> list[Planned]:
    """The runs that some tables and figures need, each once.

    Raises:
        InputError: a run of that name has other settings or another protocol; none of their models
            is trained.
    """
    found = []
    for run in needed_runs(items):
        if not profile.settings(run):
            continue
        experiment = profile.experiment_of(run)
        run_dir = runs_dir / experiment.name
        found.append(Planned(run, experiment, _state(run_dir, experiment)))
    if not found:
        names = ", ".join(item.name for item in items)
        raise InputError(f"reproduce {names}: has no model of the code lengths of --bits")
    return found


def _state(run_dir: Path, experiment: Experiment) -> State:
    if not run_dir.exists():
        return "absent"
    stored, _ = read_stored(run_dir)
    theirs, ours = stored.dump(), experiment.dump()
    if differing := [key for key in _DECIDING if theirs[key] != ours[key]]:
        raise InputError(
            f"{run_dir}: exists with another {differing[0]}; take another --runs-dir, or delete it"
        )
    ended = any(event["event"] == "reported" for event in read(run_dir / "events.jsonl"))
    return "finished" if ended else "begun"


def reproduce(
    items: Sequence[Item],
    profile: Profile,
    options: Options,
    out_dir: Path,
    say: Callable[[str], None],
) -> Path:
    """Run what is missing, continue what was interrupted, and write the pages; the index.

    Pages are written after every run, so an interruption leaves what is known by then.

    Raises:
        InputError: anything that would make a run fail; nothing further was started.
        SearchStopped: a run cannot go on now; the same command continues it.
    """
    options = replace(options, share_trainings=True)
    check_folders(options)
    check_tracking(options.tracking_uri, options.runs_dir)
    planned_all = planned_runs(items, profile, options.runs_dir)
    section = planned_all[0].experiment.data
    if section.name is not None and DATASETS[section.name].folder is not None:
        locate(section.name, section.root)  # before weights are downloaded
    for planned in planned_all:
        name = planned.experiment.name
        if planned.state == "finished":
            say(f"{name}: already there")
            continue
        say(f"{name}: {'continued' if planned.state == 'begun' else 'started'}")
        if planned.state == "begun":
            session.resume(name, options, say, options.executor)
        else:
            session.start(planned.experiment, options, "compare", say)
        shown = [item for item in items if planned.run.name in item.runs]
        # What is retrieved takes a pass over the database, so once, at the end.
        drawn = [item for item in shown if item.kind != "retrieved"]
        write_pages(drawn, profile, options, out_dir, say)
    return write_pages(items, profile, options, out_dir, say)


def write_pages(
    items: Iterable[Item],
    profile: Profile,
    options: Options,
    out_dir: Path,
    say: Callable[[str], None],
) -> Path:
    """Write the pages of some tables and figures from the runs that are there; the index."""
    measured = measured_runs(profile, options.runs_dir)
    for item in items:
        panels: Sequence[Any] = ()
        if item.kind == "retrieved":
            panels = retrieved_panels(item, measured, options.cache_dir, say)
        write_page(item, measured, out_dir, panels)
    return write_index(measured, out_dir)


def begun_runs(profile: Profile, runs_dir: Path) -> dict[str, Path]:
    """The folders of all runs of a profile that have begun, by their declared names."""
    folders = {name: runs_dir / profile.run_name(run) for name, run in runs().items()}
    return {name: path for name, path in folders.items() if (path / "events.jsonl").exists()}


def measured_runs(profile: Profile, runs_dir: Path) -> Measured:
    """Results of all runs of a profile that have begun."""
    found = {}
    for name, run_dir in begun_runs(profile, runs_dir).items():
        write_tables(run_dir, *load_state(run_dir))
        found[name] = load_search(run_dir)
    return Measured(profile.data, profile.scale, profile.backbones, profile.bits, found)

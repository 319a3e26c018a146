"""Starting and resuming searches: everything is checked before any work starts."""

import sys
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from harness.executors import Executor
from harness.executors.executor import stop_if_full
from harness.executors.packing import resolve_gpu_share
from harness.experiment.config import Experiment
from harness.experiment.file import load_stored
from harness.files import write_text
from harness.journal.journal import Event, Journal, first_search_id, logging_exceptions
from harness.journal.protocol_identity import (
    changed_versions,
    protocol_hash,
    validation_hash,
    version_note,
)
from harness.journal.state import load_state
from harness.named_paths import leave_receipt, not_named
from harness.options import ExecutorName, Options
from harness.provenance import provenance
from harness.search.importance import search_importances
from harness.search.plan import Plan, deciding_epochs
from harness.search.search import Search
from harness.search.space_edges import space_notices
from harness.search.warm_start import missing_warm_start, warm_start
from harness.session.checks import (
    check_folders,
    check_tracking,
    device_of_run,
    executor_of_run,
    notes_of_search,
    open_data,
)
from harness.session.progress import Progress
from harness.session.result_tables import write_explanation, write_tables
from harness.session.resume_checks import (
    check_carried_paths,
    check_reported_protocol,
    check_resumed_protocol,
    check_whole,
    paths_at_start,
    read_stored,
    tracking_uri_of,
)
from harness.session.time_left import TrialWork, work_of
from harness.session.trial_work import trial_work
from harness.tracking.mlflow_runs import MlflowRuns
from harness.tracking.store import default_uri
from harness.tracking.tracker import Tracker
from harness.trial.compute import compute_facts
from harness.trial.interface import TrialContext
from harness.trial.records import write_record
from reports.results import load_search
from saat.errors import InputError
from saat.wording import counted

if TYPE_CHECKING:  # figures take seconds to import, and a search needs none before its end
    from reports.figures.print_files import FigureFiles

_LINKS_SECONDS = 20.0  # that a report waits for the addresses of the runs it links to


def start(experiment: Experiment, options: Options, plan: Plan, say: Callable[[str], None]) -> Path:
    """Run a new search; returns its folder.

    Raises:
        InputError: anything that would make the search fail later; nothing was started.
        SearchStopped: it cannot go on now, and can be resumed.
    """
    check_folders(options)
    run_dir = (options.runs_dir / experiment.name).resolve()
    if run_dir.exists():
        raise InputError(
            f"{run_dir}: exists; take another --name, or continue it: saat resume {experiment.name}"
        )
    check_tracking(options.tracking_uri, options.runs_dir)
    device = device_of_run(experiment, options)
    data = open_data(experiment, options.cache_dir, say)
    protocol = protocol_hash(experiment, data.fingerprint)
    warm: Event = {}
    if plan == "search" and experiment.search.warm_start:
        warm = warm_start(experiment, options.runs_dir, data.fingerprint, protocol)
    experiment, packing = resolve_gpu_share(experiment, plan, options, say)
    executor, concurrent = executor_of_run(experiment, options, say)
    versions = changed_versions(experiment)
    work: TrialWork = {}
    if plan == "search":
        known = {entry["config_hash"] for entry in warm.get("trials", [])}
        work = trial_work(experiment, options.cache_dir, known)
    (run_dir / "trials").mkdir(parents=True)
    text = yaml.safe_dump(experiment.dump(), sort_keys=False, allow_unicode=True)
    write_text(run_dir / "experiment.yaml", text)
    facts = {"compute": compute_facts(experiment, device)}
    written = provenance(experiment, data, device, versions) | facts
    write_record(run_dir / "provenance.json", written)
    with closing(Journal(run_dir)) as journal:
        journal.append(
            "started",
            search_id=uuid.uuid4().hex,
            plan=plan,
            executor=options.executor,
            tracking_uri=options.tracking_uri,
            device=device,
            data_fingerprint=data.fingerprint,
            dataset=data.label,
            protocol_hash=protocol,
            versions=versions,
            validation_hash=validation_hash(experiment, len(data.validation_database)),
            **({"packing": packing} if packing else {}),
            **({"work": dict(work)} if work else {}),
        )
        try:
            leave_receipt(
                journal.events[0]["search_id"], paths_at_start(experiment, options.runs_dir)
            )
        except OSError as error:
            say(
                f"the receipt of this run could not be written ({error}): saat resume needs --allow"
            )
        for note in notes_of_search(experiment) if plan == "search" else ():
            say(note)
        _warm_start(journal, warm, say)
        return run_search(experiment, journal, options, executor, concurrent, say)


def resume(
    name: str,
    options: Options,
    say: Callable[[str], None],
    executor_name: ExecutorName | None = None,
) -> Path:
    """Continue a search after any interruption.

    The executor is ``executor_name``, not that of ``options``. None stands for the executor that
    the search began with.

    Raises:
        InputError: there is no such search, its data changed, another version began it with fewer
            keys, it would read what the user has not named, or another process runs it.
    """
    check_folders(options)
    run_dir = (options.runs_dir / name).resolve()
    experiment, missing = read_stored(run_dir)
    load_state(run_dir)  # a damaged journal shows before anything is touched
    check_whole(missing, run_dir / "experiment.yaml")
    with closing(Journal(run_dir)) as journal:
        started = journal.events[0]
        check_carried_paths(experiment, journal.events, options, name)
        experiment, _ = load_stored(run_dir / "experiment.yaml", files=True)
        options = replace(
            options,
            tracking_uri=tracking_uri_of(started, options, name),
            executor=executor_name or started["executor"],
        )
        if options.address and options.executor == "inline":
            raise InputError(
                f"--address {options.address}: this search runs inline, not on a cluster"
            )
        check_tracking(options.tracking_uri, options.runs_dir)
        device_of_run(experiment, options)
        data = open_data(experiment, options.cache_dir, say)
        if data.fingerprint != started["data_fingerprint"]:
            raise InputError(
                f"{run_dir}: the data set is not the one the search began with (or the search was "
                "begun by an earlier version of saat-harness, which did not compare pixels)"
            )
        check_resumed_protocol(experiment, started, run_dir / "experiment.yaml")
        own = validation_hash(experiment, len(data.validation_database))
        if own != started.get("validation_hash", own):  # journals of earlier versions lack it
            raise InputError(
                f"{run_dir / 'experiment.yaml'}: validation is not what the search began with; "
                "its trials could not be compared"
            )
        executor, concurrent = executor_of_run(experiment, options, say)
        if missing_warm_start(experiment, journal.events):
            known = started["data_fingerprint"], started["protocol_hash"]
            _warm_start(journal, warm_start(experiment, options.runs_dir, *known), say)
        return run_search(experiment, journal, options, executor, concurrent, say)


def paths_to_allow(experiment: Experiment, runs_dir: Path) -> list[str]:
    """Paths that ``saat resume --allow`` has to name, because no receipt of the run has them."""
    search_id = first_search_id(runs_dir / experiment.name)
    missing = not_named(search_id, paths_at_start(experiment, runs_dir))
    return list(dict.fromkeys(path for _, path in missing))


def _warm_start(journal: Journal, found: Event, say: Callable[[str], None]) -> None:
    """Journal the trials of earlier searches, if the experiment names any searches."""
    if found:
        journal.append("warm_started", **found)
        say(f"search.warm_start: {counted(len(found['trials']), 'trial')} of earlier searches")


def run_search(
    experiment: Experiment,
    journal: Journal,
    options: Options,
    executor: Executor,
    concurrent: int,
    say: Callable[[str], None],
) -> Path:
    """Run the search of an open journal to its report; its folder.

    Raises:
        SearchStopped: it cannot go on now, and can be resumed.
    """
    started, run_dir = journal.events[0], journal.path.parent
    tracker = _started_tracker(experiment, journal, options)
    try:
        journal.on_event(tracker.handle)
        fingerprint, plan = started["data_fingerprint"], started.get("plan", "search")
        search = Search(experiment, journal, fingerprint, concurrent, plan)
        with Progress(search, work=work_of(started)) as progress:
            journal.on_event(progress.handle)
            context = trial_context(experiment, options, run_dir, started["device"], fingerprint)
            executor.run(search, context, logging_exceptions(progress.status))
        if not any(event["event"] == "reported" for event in journal.events):
            say("writing the report")
            tracker.catch_up(timeout=_LINKS_SECONDS)
            make_report([run_dir], run_dir / "report", say)
            journal.append("reported")
    except OSError as error:
        stop_if_full(error, str(run_dir))
        raise
    finally:
        left = tracker.close(timeout=60 if sys.exc_info()[0] is None else 5)
        if left:
            given = options.as_arguments("runs_dir", "tracking_uri")
            say(f"{left}; deliver them with: saat sync {experiment.name}{given}")
    return run_dir


def sync(name: str, options: Options) -> str:
    """Deliver what the tracking server has not received; returns one line on the outcome.

    Raises:
        InputError: no such search, another process runs it, or the server does not answer.
    """
    run_dir = (options.runs_dir / name).resolve()
    experiment, _ = read_stored(run_dir)
    started, _ = load_state(run_dir)
    options = replace(options, tracking_uri=tracking_uri_of(started, options, name))
    check_tracking(options.tracking_uri, options.runs_dir)
    with closing(Journal(run_dir)) as journal:
        tracker = _started_tracker(experiment, journal, options)
        left = tracker.close(timeout=120, patient=True)
    if left:
        raise InputError(left)
    return f"{name}: the tracking server has all {counted(len(journal.events), 'event')}"


def _started_tracker(experiment: Experiment, journal: Journal, options: Options) -> Tracker:
    started = journal.events[0]
    tags = {
        "saat.search_id": started["search_id"],
        "saat.protocol": started["protocol_hash"],
        "saat.dataset": started.get("dataset") or experiment.data.name,
        "saat.data_fingerprint": started["data_fingerprint"],
    }
    uri = options.tracking_uri or default_uri(options.runs_dir)
    tracker = Tracker(MlflowRuns(uri, journal.path.parent, experiment, tags, started["time"]))
    tracker.start(journal.events)
    return tracker


def make_report(
    run_dirs: list[Path],
    out_dir: Path,
    say: Callable[[str], None],
    by: str = "",
    files: "FigureFiles" = "usual",
) -> Path:
    """Derive the tables of some searches anew and write their report; returns the page.

    ``by`` is a searched key whose values have fronts of their own. ``files`` says which files of
    charts are written; they take most of the time.
    """
    # Here, not above: figures take seconds to import, and a search needs none before its end.
    from reports.html import write_report

    searches = []
    for run_dir in run_dirs:
        started, state = load_state(run_dir)
        experiment, missing = read_stored(run_dir)
        # Files and journals of earlier versions lack keys that the hash covers.
        if "validation_hash" in started and not missing:
            check_reported_protocol(experiment, started, run_dir / "experiment.yaml")
        if note := version_note(experiment, started):
            say(f"{run_dir.name}: {note}")
        write_tables(run_dir, started, state)
        if started.get("plan", "search") == "search":
            write_explanation(run_dir, experiment, state)
        notices = space_notices(experiment, state)
        importances = search_importances(experiment, state)
        searches.append(load_search(run_dir, notices, importances))
    return write_report(searches, out_dir, by, files)


def trial_context(
    experiment: Experiment, options: Options, run_dir: Path, device: str, data_fingerprint: str
) -> TrialContext:
    """Folders and protocol of the trials of a search."""
    gpus = experiment.resources.gpus
    return TrialContext(
        run_dir=str(run_dir),
        pretrained_dir=str(options.runs_dir.resolve() / "pretrained"),
        cache_dir=options.cache_dir,
        validation=experiment.validation,
        evaluation=experiment.evaluation,
        resources=experiment.resources,
        battery=experiment.confirm.battery,
        device=device,
        deciding_epochs=deciding_epochs(experiment),
        gpu_share=gpus if options.executor == "ray" and 0 < gpus < 1 else 1.0,
        data_fingerprint=data_fingerprint,
        share_trainings=options.share_trainings,
    )

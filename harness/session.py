"""Starting and resuming searches: everything is checked before any work starts."""

import os
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import torch
import yaml

from harness.config import Experiment
from harness.derive import derive_tables
from harness.executors import Executor, SearchStopped
from harness.executors.executor import stop_if_full
from harness.experiment import load_experiment, setting_at
from harness.files import write_json, write_text
from harness.journal import Journal, read
from harness.progress import Progress
from harness.provenance import provenance
from harness.search import Plan, Search
from harness.state import SearchState, protocol_hash
from harness.tracking import Tracker, default_uri
from harness.trial import TrialContext, trial_data
from reports.html import write_report
from reports.results import load_search
from saat.data import HashingData
from saat.errors import InputError
from saat.models import build_network

ExecutorName = Literal["ray", "inline"]


@dataclass(frozen=True)
class Options:
    """Where and how a search runs; what decides its results is in the experiment.

    Attributes:
        runs_dir: folder of all runs.
        tracking_uri: MLflow server; None for the embedded store.
        executor: ``ray`` or ``inline``.
        address: Ray cluster to connect to; None starts Ray here.
        cache_dir: node-local cache of decoded images; None for the default.
    """

    runs_dir: Path
    tracking_uri: str | None = None
    executor: ExecutorName = "ray"
    address: str | None = None
    cache_dir: str | None = None


def start(experiment: Experiment, options: Options, plan: Plan, say: Callable[[str], None]) -> Path:
    """Run a new search; returns its folder.

    Raises:
        InputError: anything that would make the search fail later; nothing was started.
        SearchStopped: it cannot go on now, and can be resumed.
    """
    _check_folders(options)
    run_dir = (options.runs_dir / experiment.name).resolve()
    if run_dir.exists():
        raise InputError(
            f"{run_dir}: exists; take another --name, or continue it: saat resume {experiment.name}"
        )
    _check_uri(options.tracking_uri)
    device = _device(experiment, options)
    data = _check_data(experiment, options.cache_dir, say)
    executor, fitting = _executor(experiment, options)
    concurrent = _max_concurrent(experiment, fitting, say)
    (run_dir / "trials").mkdir(parents=True)
    text = yaml.safe_dump(experiment.dump(), sort_keys=False, allow_unicode=True)
    write_text(run_dir / "experiment.yaml", text)
    write_json(run_dir / "provenance.json", provenance(data, device))
    journal = Journal(run_dir)
    journal.append(
        "started",
        search_id=uuid.uuid4().hex,
        plan=plan,
        executor=options.executor,
        tracking_uri=options.tracking_uri,
        device=device,
        data_fingerprint=data.fingerprint,
        protocol_hash=protocol_hash(experiment.evaluation.model_dump(), data.fingerprint),
    )
    return _run(experiment, journal, options, executor, concurrent, run_dir, say)


def resume(name: str, options: Options, say: Callable[[str], None]) -> Path:
    """Continue a search after any interruption; tracking and executor are remembered.

    Raises:
        InputError: there is no such search, its data changed, or another process runs it.
    """
    _check_folders(options)
    run_dir = (options.runs_dir / name).resolve()
    experiment = read_experiment(run_dir)
    events = read(run_dir / "events.jsonl")
    if not events:
        raise InputError(
            f"{run_dir}: the search never started; delete the folder and start it again"
        )
    SearchState(events)  # a damaged journal shows before anything is touched
    journal = Journal(run_dir)
    try:
        started = journal.events[0]
        uri = options.tracking_uri or started["tracking_uri"]
        options = replace(options, tracking_uri=uri, executor=started["executor"])
        _check_uri(options.tracking_uri)
        _device(experiment, options)
        data = _check_data(experiment, options.cache_dir, say)
        if data.fingerprint != started["data_fingerprint"]:
            raise InputError(f"{run_dir}: the data set is not the one the search began with")
        executor, fitting = _executor(experiment, options)
        concurrent = _max_concurrent(experiment, fitting, say)
    except InputError:
        journal.close()
        raise
    return _run(experiment, journal, options, executor, concurrent, run_dir, say)


def _run(
    experiment: Experiment,
    journal: Journal,
    options: Options,
    executor: Executor,
    concurrent: int,
    run_dir: Path,
    say: Callable[[str], None],
) -> Path:
    started = journal.events[0]
    tracker = _tracker(experiment, journal, options, run_dir)
    tracker.start(journal.events)
    journal.listen(tracker.handle)
    search = Search(experiment, journal, started["data_fingerprint"], concurrent, started["plan"])
    try:
        with Progress(search) as progress:
            journal.listen(progress.handle)
            context = _context(experiment, options, run_dir, started["device"])
            executor.run(search, context, progress.status)
        if not any(event["event"] == "reported" for event in journal.events):
            say("writing the report")
            make_report([run_dir], run_dir / "report")
            journal.append("reported")
    except OSError as error:
        stop_if_full(error, str(run_dir))
        raise
    finally:
        left = tracker.close(timeout=60 if sys.exc_info()[0] is None else 5)
        journal.close()
        if left:
            say(f"{left}; deliver them with: saat sync {experiment.name}")
    return run_dir


def sync(name: str, options: Options) -> str:
    """Deliver what the tracking server has not received; one line on how it went.

    Raises:
        InputError: no such search, another process runs it, or the server does not answer.
    """
    _check_uri(options.tracking_uri)
    run_dir = (options.runs_dir / name).resolve()
    experiment = read_experiment(run_dir)
    journal = Journal(run_dir)
    try:
        if not journal.events:
            raise InputError(f"{run_dir}: the search never started; there is nothing to deliver")
        tracker = _tracker(experiment, journal, options, run_dir)
        tracker.start(journal.events)
        left = tracker.close(timeout=120)
    finally:
        journal.close()
    if left:
        raise InputError(left)
    return f"{name}: the tracking server has all {len(journal.events)} events"


def _tracker(experiment: Experiment, journal: Journal, options: Options, run_dir: Path) -> Tracker:
    started = journal.events[0]
    tags = {"saat.search_id": started["search_id"], "saat.protocol": started["protocol_hash"]}
    uri = options.tracking_uri or started["tracking_uri"] or default_uri(options.runs_dir)
    return Tracker(uri, run_dir, experiment, tags)


def make_report(run_dirs: list[Path], out_dir: Path) -> Path:
    """Derive the tables of some searches anew and write their report; returns the page."""
    for run_dir in run_dirs:
        derive_tables(run_dir)
    return write_report([load_search(run_dir) for run_dir in run_dirs], out_dir)


def read_experiment(run_dir: Path) -> Experiment:
    """The resolved experiment of a search folder."""
    path = run_dir / "experiment.yaml"
    if not path.is_file():
        raise InputError(f"{run_dir}: no such search (no experiment.yaml there)")
    experiment, _ = load_experiment(path)
    return experiment


def summary(state: SearchState) -> str:
    """How the trials ended, in words."""
    counts: dict[str, int] = {}
    for record in state.trials.values():
        counts[record.status] = counts.get(record.status, 0) + 1
    parts = [
        f"{counts[s]} {s}" for s in ("completed", "stopped", "failed", "running") if s in counts
    ]
    return f"{len(state.trials)} trials: {', '.join(parts) or 'none'}"


def _context(experiment: Experiment, options: Options, run_dir: Path, device: str) -> TrialContext:
    return TrialContext(
        run_dir=str(run_dir),
        pretrained_dir=str(options.runs_dir.resolve() / "pretrained"),
        cache_dir=options.cache_dir,
        validation=experiment.validation.model_dump(),
        evaluation=experiment.evaluation.model_dump(),
        device=device,
        threads=experiment.resources.cpus_per_trial,
    )


def _device(experiment: Experiment, options: Options) -> str:
    """``cuda`` where GPUs were asked for; refused here where the inline executor has none."""
    gpus = experiment.resources.gpus_per_trial
    if gpus and options.executor == "inline" and not torch.cuda.is_available():
        raise InputError(
            f"resources.gpus_per_trial: {gpus:g}: this machine has no GPU that torch can use; 0"
        )
    return "cuda" if gpus else "cpu"


def _check_data(
    experiment: Experiment, cache_dir: str | None, say: Callable[[str], None]
) -> HashingData:
    """Open the data set, decoding it if need be, and check the protocol against its size."""
    setting = setting_at(experiment, {})
    if setting.model.weights != "none":
        # A download that cannot be had, or a file that does not fit, must not fail in a worker.
        model, size = setting.model, setting.data.image_size
        build_network(model.backbone, model.weights, model.bits, size, seed=0)
    data = trial_data(setting, cache_dir, _decoding(say))
    top_k, smallest = experiment.evaluation.top_k, len(data.validation_database)
    if top_k > smallest:
        raise InputError(
            f"evaluation.top_k: {top_k}: at most {smallest}, the database without the "
            "validation queries"
        )
    wanted, drawn = experiment.validation.queries, len(data.validation)
    if wanted > drawn:
        raise InputError(
            f"validation.queries: {wanted}: at most {drawn}, the validation queries there are"
        )
    return data


def _decoding(say: Callable[[str], None]) -> Callable[[int, int], None]:
    """A progress line every few seconds while images are decoded."""
    last = time.monotonic()

    def progress(done: int, count: int) -> None:
        nonlocal last
        if time.monotonic() - last > 3:
            last = time.monotonic()
            say(f"decoding images: {done} of {count}")

    return progress


def _check_uri(uri: str | None) -> None:
    if uri is None:
        return
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = urlsplit("")
    if parts.username or parts.password or "password" in parts.query.lower():
        raise InputError(
            "--tracking-uri: no user or password in the address; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or the data base's own password file"
        )
    known = parts.scheme in ("http", "https", "sqlite", "postgresql", "mysql")
    if not known or (parts.scheme != "sqlite" and not parts.hostname):
        raise InputError(f"--tracking-uri {uri}: http://…, https://…, sqlite:///… or a data base")


def _check_folders(options: Options) -> None:
    """Neither the runs nor the cache can lie below a file."""
    folders = [("--runs-dir", options.runs_dir)]
    if options.cache_dir is not None:
        folders.append(("--cache-dir", Path(options.cache_dir)))
    for flag, folder in folders:
        existing = next(
            path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
        )
        if not existing.is_dir():
            raise InputError(f"{flag} {folder}: {existing} is not a folder")
        if not os.access(existing, os.W_OK):
            raise InputError(f"{flag} {folder}: {existing} is not writable")


def _executor(experiment: Experiment, options: Options) -> tuple[Executor, int]:
    """The executor, and how many trials it can run at once."""
    if options.executor == "inline":
        from harness.executors.inline import InlineExecutor

        return InlineExecutor(), 1
    from harness.executors.ray_tune import RayTuneExecutor, check_request, connect

    resources = experiment.resources
    connect(options.address)
    fitting = check_request(resources.cpus_per_trial, resources.gpus_per_trial)
    return RayTuneExecutor(resources.cpus_per_trial, resources.gpus_per_trial), fitting


def _max_concurrent(experiment: Experiment, fitting: int, say: Callable[[str], None]) -> int:
    """How many trials run at once: as asked, or what fits."""
    wanted = experiment.search.max_concurrent
    if wanted == "auto":
        return fitting
    if wanted > fitting:
        say(f"search.max_concurrent: {wanted} wanted, {fitting} fit now")
    return wanted


__all__ = [
    "Options",
    "SearchStopped",
    "make_report",
    "read_experiment",
    "resume",
    "start",
    "summary",
]

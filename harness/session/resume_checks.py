"""Checks before a stored run continues: it must not choose its server, files or protocol."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.experiment.config import Experiment
from harness.experiment.file import load_stored
from harness.journal.journal import Event
from harness.journal.protocol_identity import protocol_hash, stored_versions, version_note
from harness.named_paths import CarriedPath, check_named, experiment_paths, setting_paths
from harness.options import Options
from harness.redaction import public_uri
from harness.search.warm_start import missing_warm_start, warm_start_folder
from reports.run_folder import check_run_folder
from saat.errors import InputError

_VARIABLE = "MLFLOW_TRACKING_URI"


def tracking_uri_of(started: Event, options: Options, name: str) -> str | None:
    """The tracking server of a run that continues; None for the embedded store.

    A server decides where its client writes files, and gets this user's credentials. Somebody else
    may have made the run. So a server that only its journal names is not contacted.

    Raises:
        InputError: the user has not named the server of the journal.
    """
    uri: str | None = started["tracking_uri"]
    if options.tracking_uri or uri is None:
        return options.tracking_uri
    if os.environ.get(_VARIABLE, "").rstrip("/") == uri.rstrip("/"):
        return uri
    raise InputError(
        f"{name}: began with the tracking server {public_uri(uri)}, which is contacted only if you "
        f"name it: --tracking-uri {public_uri(uri)}, or the same in {_VARIABLE} (SECURITY.md)"
    )


def paths_at_start(experiment: Experiment, runs_dir: Path) -> Iterator[CarriedPath]:
    """Every path that a run which begins now can read."""
    yield from experiment_paths(experiment)
    for name in experiment.search.warm_start:
        yield CarriedPath("search.warm_start", str(warm_start_folder(name, runs_dir)))


def check_carried_paths(
    experiment: Experiment, events: list[Event], options: Options, name: str
) -> None:
    """Refuse to continue a run that would read a path which only the run itself names.

    Somebody else may have made the run. The settings of its trials, which are in the journal, can
    name paths too.
    """
    warms = missing_warm_start(experiment, events)
    carried = list(
        paths_at_start(experiment, options.runs_dir) if warms else experiment_paths(experiment)
    )
    for event in events:
        trials_of = {"warm_started": event.get("trials"), "suggested": [event]}
        for entry in trials_of.get(event["event"]) or []:
            carried += setting_paths(entry["trial"]["setting"])
    check_named(name, events[0]["search_id"], dict.fromkeys(carried), options.allow)


def read_stored(run_dir: Path) -> tuple[Experiment, dict[str, Any]]:
    """See :func:`harness.experiment.file.load_stored`, of a search folder."""
    check_run_folder(run_dir)
    return load_stored(run_dir / "experiment.yaml")


def check_whole(missing: Mapping[str, Any], file: Path) -> None:
    """Refuse a file of another version that lacks a key: no new default may change a search."""
    for key, default in missing.items():
        raise InputError(
            f"{file}: {key}: missing; another version of saat-harness began this search: set the "
            f"key there (here {default} is the default), or begin anew with search.warm_start"
        )


def check_reported_protocol(experiment: Experiment, started: Event, file: Path) -> None:
    """Refuse to report numbers under another protocol than the one they were measured under."""
    if stored_versions(experiment, started) is None:
        raise InputError(_CHANGED.format(file))


def check_resumed_protocol(experiment: Experiment, started: Event, file: Path) -> None:
    """Refuse to add numbers to a search if they could not be compared with its earlier ones."""
    if protocol_hash(experiment, started["data_fingerprint"]) == started["protocol_hash"]:
        return
    if note := version_note(experiment, started):
        raise InputError(
            f"{file.parent}: {note}; begin anew under another --name, or resume it with the "
            "version that began it (saat report shows its numbers)"
        )
    raise InputError(_CHANGED.format(file))


_CHANGED = (
    "{}: evaluation or confirm.battery is not what the search began with, so its numbers could not "
    "be compared"
)

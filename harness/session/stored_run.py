"""What a stored run may decide when it is resumed or reported: not its server, not its protocol."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.experiment.config import Experiment
from harness.experiment.file import load_stored
from harness.journal.journal import Event
from harness.journal.state import protocol_hash
from harness.options import Options
from harness.redaction import public_uri
from reports.run_folder import check_run_folder
from saat.errors import InputError

_VARIABLE = "MLFLOW_TRACKING_URI"


def tracking_uri_of(started: Event, options: Options, name: str) -> str | None:
    """The tracking server of a run that goes on; None for the embedded store.

    A server decides where its client writes files, and gets this user's credentials. Somebody else
    may have made the run. So a server that only its journal names is not contacted.

    Args:
        started: first event of the journal.
        options: of the command.
        name: of the run.

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


def read_stored(run_dir: Path) -> tuple[Experiment, dict[str, Any]]:
    """See :func:`harness.experiment.file.load_stored`, of a search folder."""
    path = run_dir / "experiment.yaml"
    if not path.is_file():
        raise InputError(f"{run_dir}: no such search (no experiment.yaml there)")
    check_run_folder(run_dir)
    return load_stored(path)


def check_whole(missing: Mapping[str, Any], file: Path) -> None:
    """Every key of a resolved experiment is in its file, so that no new default changes a search.

    Raises:
        InputError: the file of another version lacks a key.
    """
    for key, default in missing.items():
        raise InputError(
            f"{file}: {key}: missing; another version of saat-harness began this search: set the "
            f"key there (here {default} is the default), or begin anew with search.warm_start"
        )


def check_reported_protocol(experiment: Experiment, started: Event, file: Path) -> None:
    """Refuse to report numbers under another protocol than the one they were measured under.

    Raises:
        InputError: the file's protocol is not the journal's.
    """
    if not _was_before_revisions(experiment, started):
        check_resumed_protocol(experiment, started, file)


def check_resumed_protocol(experiment: Experiment, started: Event, file: Path) -> None:
    """Refuse to add numbers to a search that its earlier ones could not be compared with.

    Raises:
        InputError: the file's ``evaluation`` or ``confirm.battery`` is another one, or one of its
            attacks has another formula now.
    """
    if protocol_hash(experiment, started["data_fingerprint"]) == started["protocol_hash"]:
        return
    if _was_before_revisions(experiment, started):
        raise InputError(
            f"{file.parent}: an earlier version of saat-harness began this search, with other "
            "formulas of its attacks; new numbers could not be compared: begin anew under another "
            "--name (saat report shows the old ones)"
        )
    raise InputError(
        f"{file}: evaluation or confirm.battery is not what the search began with; its "
        "numbers could not be compared"
    )


def _was_before_revisions(experiment: Experiment, started: Event) -> bool:
    """Whether the protocol is the same but for the revisions of its attacks' formulas."""
    first = protocol_hash(experiment, started["data_fingerprint"], revised=False)
    return bool(first == started["protocol_hash"])

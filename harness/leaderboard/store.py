"""The folder of a leaderboard: ``BOARD/SLUG.json``, one file an entry, one folder a protocol."""

import json
from collections.abc import Sequence
from pathlib import Path

from harness.experiment.section import parsed
from harness.files import existing_parent, write_json
from harness.leaderboard.entry import Entry
from reports.checksums import read_json, with_checksum
from reports.run_folder import check_file
from saat.errors import InputError, one_line

_MOST_BYTES = 2**18


def add_entries(folder: Path, entries: Sequence[Entry], replace: bool = False) -> list[str]:
    """Write entries into the folder of a leaderboard; each file is there as a whole or not at all.

    Args:
        folder: made if it does not exist.
        entries: of one run.
        replace: whether an entry of the same setting may be replaced.

    Returns:
        A line for every entry: where it was written, or that it was there already.

    Raises:
        InputError: the folder has the setting with other content; then none is written.
    """
    lines: list[str] = []
    new: list[tuple[Path, Entry]] = []
    for entry in entries:
        path = folder / entry.board / f"{entry.slug}.json"
        old = _present(path, replace)
        if old == entry:
            lines.append(f"{path}: already there, as it is")
            continue
        if old is not None and not replace:
            seeds = ", ".join(map(str, old.measured.seeds))
            raise InputError(
                f"{path}: has this setting with other content, of run {old.origin.run}, seeds "
                f"{seeds}; --replace puts this one in its place"
            )
        lines.append(f"{path}: {'replaced' if path.exists() else 'added'}")
        new.append((path, entry))
    for path, entry in new:
        write_json(path, with_checksum(json.loads(entry.model_dump_json())))
    return lines


def _present(path: Path, replace: bool) -> Entry | None:
    """The entry that a file has; None without one, or if it is broken and to be replaced."""
    if not path.exists():
        return None
    try:
        return _read(path)
    except InputError:
        if replace:
            return None
        raise


def read_entries(folder: Path) -> list[Entry]:
    """Every entry of a leaderboard, checked, in the order of their paths.

    Raises:
        InputError: there is none; or what is wrong with a file, in one line: file, key, value and
            what is allowed.
    """
    if existing_parent(folder, "--into") != folder.absolute():
        raise InputError(f"--into {one_line(folder, 200)}: no such folder")
    paths = sorted(folder.glob("*/*.json"))
    if not paths:
        raise InputError(
            f"--into {one_line(folder, 200)}: no entry there, which is BOARD/ENTRY.json; "
            "saat leaderboard add NAME makes one"
        )
    return [_read(path) for path in paths]


def _read(path: Path) -> Entry:
    """The entry of a file, which lies in the folder of its protocol under its own name."""
    shown = one_line(path, 200)
    check_file(path)
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(
            f"{shown}: larger than {_MOST_BYTES // 1024} KiB; an entry is a small file"
        )
    try:
        entry = parsed(Entry, read_json(path))
    except InputError as error:
        prefix = "" if str(path) in error.faults[0] else f"{shown}: "
        raise InputError(*(f"{prefix}{fault}" for fault in error.faults)) from None
    if path.parent.name != entry.board:
        raise InputError(f"{shown}: an entry of another protocol; its folder is {entry.board}")
    if path.stem != entry.slug:
        raise InputError(f"{shown}: of another setting; its file is {entry.slug}.json")
    return entry

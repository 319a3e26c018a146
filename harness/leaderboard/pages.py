"""From the entries of a leaderboard to its static pages and tables.

The same entries give the same bytes. A page needs no other file, and loads nothing.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.files import writable_parent, write_text
from harness.leaderboard.board import (
    NOTE,
    Board,
    board_table,
    claimed_map,
    gates_word,
    number,
    paper_text,
)
from harness.leaderboard.entry import Entry, Estimate
from harness.leaderboard.store import read_entries
from reports.csv_files import csv_text
from reports.protocol import Terms, flattened
from reports.table_formats import to_markdown
from reports.templating import rendered
from reports.wording import MISSING, duration, parameter_symbol, parameter_value, percent, points
from saat.wording import counted


def write_pages(folder: Path) -> list[Path]:
    """Write ``index.html``, ``table.csv`` and ``table.md`` of a leaderboard and of each protocol.

    Returns:
        The pages: first the index, then one for each protocol.

    Raises:
        InputError: an entry is broken, or there is none; then nothing is written.
    """
    boards = boards_of(read_entries(folder))
    writable_parent(folder, "--into")
    contents = {folder / board.name: (board_page(board), [board]) for board in boards}
    index = _rendered("leaderboard_index.html.j2", boards=boards)
    contents = {folder: (index, boards), **contents}
    for where, (page, shown) in contents.items():
        table = board_table(shown)
        write_text(where / "index.html", page)
        write_text(where / "table.csv", csv_text(table.frame))
        write_text(where / "table.md", to_markdown(table))
    return [where / "index.html" for where in contents]


def board_page(board: Board) -> str:
    """The page of one protocol."""
    return _rendered("leaderboard.html.j2", board=board, note=NOTE)


def _rendered(template: str, **values: Any) -> str:
    filters: dict[str, Callable[..., Any]] = {
        "percent": _percent,
        "interval": _interval,
        "duration": duration,
        "difference": lambda claimed, verified: points(claimed - verified),
        "claimed": claimed_map,
        "gates": gates_word,
        "paper": paper_text,
        "sections": _sections,
    }
    return rendered(template, filters, **values)


def _percent(fraction: float) -> str:
    return MISSING if math.isnan(fraction) else f"{100 * fraction:.1f}"


def _interval(value: Estimate) -> str:
    """Ends of an interval in percent; empty without one."""
    if value.low is None or value.high is None:
        return ""
    return f"{_percent(value.low)}–{_percent(value.high)}"


def boards_of(entries: Sequence[Entry]) -> list[Board]:
    """Boards of entries, one for each protocol, in the order of their names."""
    by_board: dict[str, list[Entry]] = {}
    for entry in entries:
        by_board.setdefault(entry.board, []).append(entry)
    return [_board(name, by_board[name]) for name in sorted(by_board)]


def _board(name: str, entries: Sequence[Entry]) -> Board:
    first = entries[0]  # equal hashes mean equal data and protocols
    return Board(
        name=name,
        title=f"{first.data.label}, {_ball(first)}, battery {first.protocol.battery}",
        protocol=_protocol(first),
        is_checked=all(entry.gates.checked for entry in entries),
        entries=tuple(entries),
    )


def _ball(entry: Entry) -> str:
    threat = entry.threat_model
    if threat.norm == "linf":
        return f"L∞ ε = {parameter_value('eps', threat.eps)}"
    return f"{threat.norm.upper()} ε = {threat.eps:g}"


def _protocol(entry: Entry) -> Terms:
    data, protocol = entry.data, entry.protocol
    version = f" (version {protocol.battery_version})" if protocol.battery_version else ""
    database = f"{data.database} images" if data.database else MISSING
    return [
        ("Data set", data.label),
        ("Fingerprint of the data", data.fingerprint),
        ("Database", database),
        ("Test queries", str(data.queries)),
        ("Threat model", f"{_ball(entry)}; white box; queries are attacked, the database is not"),
        ("Battery", f"{protocol.battery}{version}"),
        *((f"evaluation.{key}", text) for key, text in flattened(protocol.evaluation)),
        ("Formula versions above 1", _listed(f"{k} {v}" for k, v in protocol.versions.items())),
        ("Protocol hash", protocol.hash),
    ]


def _sections(entry: Entry) -> dict[str, Terms]:
    """All that an entry says, as titles and terms."""
    measured, origin, verification = entry.measured, entry.origin, entry.verification
    setting = [(_key(key), _value(key, value)) for key, value in entry.setting.items()]
    reference = [("Chance", measured.chance_map), ("Theoretical floor", measured.floor_map)]
    found = {
        "Verified": [
            ("Clean MAP", _shown(measured.clean_map)),
            ("Robust MAP", _shown(measured.robust_map)),
            *((f"MAP under {name}", percent(value)) for name, value in measured.attacks.items()),
            *((f"t-MAP under {name}", percent(value)) for name, value in measured.targeted.items()),
            *((name, percent(number(value))) for name, value in reference),
            ("Seeds", _listed(map(str, measured.seeds))),
            ("Reliability gates", gates_word(entry)),
        ],
        "Claimed": _claims(entry),
        "Setting": [("Defense", entry.defense.description), *setting],
        "Cost": [
            ("Time per seed", duration(entry.cost.seconds)),
            ("Epochs", str(entry.cost.epochs)),
            ("Device", entry.cost.gpu or entry.cost.device),
        ],
        "Origin": [
            ("Run", f"{origin.run}, {origin.role}, finished {origin.finished}"),
            ("Command", origin.command),
            ("saat-harness", f"{origin.release or MISSING}, revision {origin.revision or MISSING}"),
            (
                "Verification",
                f"{counted(verification.numbers, 'number')} of the run recomputed by saat-harness "
                f"{verification.release}; trials {_listed(verification.trials)}",
            ),
            ("Config hash", entry.config_hash),
        ],
    }
    return {title: terms for title, terms in found.items() if terms}


def _claims(entry: Entry) -> Terms:
    claimed = entry.claimed
    if claimed is None:
        return []
    pairs = (("Clean MAP", claimed.clean_map), ("Robust MAP", claimed.robust_map))
    return [(name, percent(number(value))) for name, value in pairs]


def _shown(estimate: Estimate) -> str:
    text = percent(estimate.mean)
    if estimate.low is not None and estimate.high is not None:
        text += f", 95 % interval {100 * estimate.low:.1f} to {100 * estimate.high:.1f}"
    return text if estimate.std is None else f"{text}; {100 * estimate.std:.1f} over seeds (std)"


def _key(key: str) -> str:
    symbol = parameter_symbol(key)
    return key if symbol == key else f"{symbol} ({key})"


def _value(key: str, value: object) -> str:
    return _listed(map(str, value)) if isinstance(value, list) else parameter_value(key, value)


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(texts) or MISSING

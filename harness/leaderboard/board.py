"""The entries of one protocol: their order, and a table of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from harness.leaderboard.entry import Entry, Estimate
from reports.frontier import pareto_mask
from reports.protocol import Terms
from reports.tables import Table


@dataclass(frozen=True)
class Board:
    """The entries of one protocol, in any order."""

    name: str  # of its folder
    title: str
    protocol: Terms
    is_checked: bool  # whether a battery with gates was run
    entries: tuple[Entry, ...]

    @cached_property
    def rows(self) -> list[Entry]:
        """Entries by robust MAP, the highest first; those that cannot be believed come last."""
        return sorted(
            self.entries,
            key=lambda e: (e.gates.unreliable, -e.measured.robust_map.mean, e.slug),
        )

    @cached_property
    def ranks(self) -> dict[str, int]:
        """Slug → place from 1, of the entries that can be believed."""
        believed = [row.slug for row in self.rows if not row.gates.unreliable]
        return {slug: place for place, slug in enumerate(believed, start=1)}

    @cached_property
    def front(self) -> frozenset[str]:
        """Slugs of believed entries that no other one beats in both clean and robust MAP."""
        believed = [row for row in self.rows if not row.gates.unreliable]
        if not believed:
            return frozenset()
        found = [row.measured for row in believed]
        mask = pareto_mask(np.array([[m.clean_map.mean, m.robust_map.mean] for m in found]))
        return frozenset(row.slug for row, kept in zip(believed, mask, strict=True) if kept)

    @property
    def has_claims(self) -> bool:
        """Whether a paper's numbers stand beside the verified ones."""
        return any(entry.claimed for entry in self.entries)

    @property
    def best(self) -> Entry | None:
        """The entry in the first place."""
        return self.rows[0] if self.ranks else None


def board_table(boards: Sequence[Board]) -> Table:
    """The entries of boards as a table: fractions in full, and how they are shown."""
    rows = [
        {
            "protocol": board.name,
            "place": board.ranks.get(row.slug),
            "entry": row.name,
            "bits": row.model.bits,
            "backbone": row.model.backbone,
            **_columns("clean MAP", row.measured.clean_map),
            **_columns("robust MAP", row.measured.robust_map),
            "claimed clean MAP": claimed_map(row, "clean_map"),
            "claimed robust MAP": claimed_map(row, "robust_map"),
            "on the front": row.slug in board.front,
            "seeds": len(row.measured.seeds),
            "gates": gates_word(row),
            "unreliable": row.gates.unreliable,
            "reasons": " ".join([*row.gates.failed, *row.gates.doubts]),
            "seconds per seed": row.cost.seconds,
            "paper": paper_text(row),
            "link": (row.defense.reference and row.defense.reference.link) or "",
            "file": f"{board.name}/{row.slug}.json",
        }
        for board in boards
        for row in board.rows
    ]
    maps = ("clean MAP", "robust MAP")
    claims = tuple(f"claimed {column}" for column in maps)
    frame = pd.DataFrame(rows).astype({"place": "Int64"})
    caption = f"{'; '.join(board.title for board in boards)}. {NOTE}"
    return Table("table", caption, frame, dict.fromkeys((*maps, *claims), "%"), estimates=maps)


NOTE = (
    "By verified robust MAP in percent, the mean over seeds with its 95 % interval. Entries whose "
    "intervals overlap are not told apart by their places. Unreliable entries have no place"
)


def claimed_map(entry: Entry, name: str) -> float:
    """``clean_map`` or ``robust_map`` as the paper reports it; NaN where it does not."""
    return number(getattr(entry.claimed, name, None))


def gates_word(entry: Entry) -> str:
    """``passed``, ``not run`` or ``failed``."""
    return "failed" if entry.gates.failed else "passed" if entry.gates.checked else "not run"


def paper_text(entry: Entry) -> str:
    """What the defense is from; empty if nobody said."""
    reference = entry.defense.reference
    return f"{reference.paper} ({reference.year})" if reference else ""


def number(value: float | None) -> float:
    """NaN for nothing."""
    return math.nan if value is None else value


def _columns(name: str, value: Estimate) -> dict[str, float]:
    ends = {f"{name} low": number(value.low), f"{name} high": number(value.high)}
    return {name: value.mean, **ends}

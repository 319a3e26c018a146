"""What a leaderboard shows of the entries of one protocol: their order, and a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from reports.frontier import pareto_mask
from reports.protocol import Terms
from reports.tables import Table
from saat.bootstrap import Interval


@dataclass(frozen=True)
class Row:
    """An entry as it is shown; MAPs are fractions, NaN where there is none.

    Attributes:
        slug: name of its file, and its anchor on the page.
        name: defense and setting in words.
        paper: what the defense is from; empty if nobody said.
        link: address of the paper; empty without one.
        clean: verified clean MAP with its interval.
        robust: verified robust MAP with its interval.
        claimed_clean: clean MAP that the paper reports.
        claimed_robust: robust MAP that the paper reports.
        gates: ``passed``, ``not run`` or ``failed``.
        unreliable: whether the verified numbers cannot be believed.
        reasons: why, and what else is doubtful; a line each.
        cost_s: seconds of one seed.
        sections: title → terms, all that the entry says.
    """

    slug: str
    name: str
    method: str
    paper: str
    link: str
    bits: int
    backbone: str
    clean: Interval
    robust: Interval
    claimed_clean: float
    claimed_robust: float
    seeds: int
    gates: str
    unreliable: bool
    reasons: tuple[str, ...]
    cost_s: float
    sections: dict[str, Terms]


@dataclass(frozen=True)
class Board:
    """The entries of one protocol, in any order."""

    name: str  # of its folder
    title: str
    protocol: Terms
    is_checked: bool  # whether a battery with gates was run
    entries: tuple[Row, ...]

    @cached_property
    def rows(self) -> list[Row]:
        """Entries by robust MAP, the highest first; those that cannot be believed come last."""
        return sorted(self.entries, key=lambda e: (e.unreliable, -e.robust.mean, e.slug))

    @cached_property
    def ranks(self) -> dict[str, int]:
        """Slug → place from 1, of the entries that can be believed."""
        believed = [row.slug for row in self.rows if not row.unreliable]
        return {slug: place for place, slug in enumerate(believed, start=1)}

    @cached_property
    def front(self) -> frozenset[str]:
        """Slugs of believed entries that no other one beats in both clean and robust MAP."""
        believed = [row for row in self.rows if not row.unreliable]
        if not believed:
            return frozenset()
        mask = pareto_mask(np.array([[row.clean.mean, row.robust.mean] for row in believed]))
        return frozenset(row.slug for row, kept in zip(believed, mask, strict=True) if kept)

    @property
    def has_claims(self) -> bool:
        """Whether a paper's numbers stand beside the verified ones."""
        claims = [(row.claimed_clean, row.claimed_robust) for row in self.entries]
        return bool(np.isfinite(np.array(claims)).any())

    @property
    def best(self) -> Row | None:
        """The entry in the first place."""
        return self.rows[0] if self.ranks else None


def board_table(boards: Sequence[Board], name: str = "table") -> Table:
    """The entries of boards as a table: fractions in full, and how they are shown."""
    rows = [
        {
            "protocol": board.name,
            "place": board.ranks.get(row.slug),
            "entry": row.name,
            "bits": row.bits,
            "backbone": row.backbone,
            **_columns("clean MAP", row.clean),
            **_columns("robust MAP", row.robust),
            "claimed clean MAP": row.claimed_clean,
            "claimed robust MAP": row.claimed_robust,
            "on the front": row.slug in board.front,
            "seeds": row.seeds,
            "gates": row.gates,
            "unreliable": row.unreliable,
            "reasons": " ".join(row.reasons),
            "seconds per seed": row.cost_s,
            "paper": row.paper,
            "link": row.link,
            "file": f"{board.name}/{row.slug}.json",
        }
        for board in boards
        for row in board.rows
    ]
    maps = ("clean MAP", "robust MAP")
    claims = tuple(f"claimed {column}" for column in maps)
    frame = pd.DataFrame(rows).astype({"place": "Int64"})
    caption = f"{'; '.join(board.title for board in boards)}. {NOTE}"
    return Table(name, caption, frame, dict.fromkeys((*maps, *claims), "%"), estimates=maps)


NOTE = (
    "By verified robust MAP in percent, the mean over seeds with its 95 % interval. Entries whose "
    "intervals overlap are not told apart by their places. Unreliable entries have no place"
)


def _columns(name: str, value: Interval) -> dict[str, float]:
    return {name: value.mean, f"{name} low": value.low, f"{name} high": value.high}

"""An evaluation as a table: text, HTML for notebooks, a pandas data frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from saat.errors import InputError
from saat.reliability import GateResult

if TYPE_CHECKING:
    import pandas as pd


class Row(NamedTuple):
    """A row of the table.

    Attributes:
        name: of the attack, or ``clean``, ``worst case``, ``chance``.
        map: MAP, or t-MAP of a targeted attack; in [0, 1].
        theoretical: what the code that the attack aims for would leave; None where there is none.
        queries: how many the mean is over.
    """

    name: str
    map: float
    theoretical: float | None
    queries: int


@dataclass(frozen=True)
class EvaluationTable:
    """What :class:`saat.evaluation.Evaluation` shows.

    Attributes:
        title: ranking and ball.
        rows: clean, attacks, worst case, chance, targeted attacks.
        skipped: attack that could not be run → why.
        gate_results: of the battery's gates; empty where none was asked.
        warnings: what is wrong with the numbers, a line each.
    """

    title: str
    rows: Sequence[Row]
    skipped: Mapping[str, str]
    gate_results: Sequence[GateResult]
    warnings: Sequence[str]

    def lines(self) -> list[str]:
        """Everything but the title, MAPs in percent."""
        width = 2 + max(len(row.name) for row in self.rows)
        lines = []
        for row in self.rows:
            beside = "" if row.theoretical is None else f"   (theoretical {_percent(row)[1]})"
            lines.append(f"  {row.name:<{width}}{_percent(row)[0]:>6}{beside}")
        lines += [f"  skipped {name}: {reason}" for name, reason in self.skipped.items()]
        if self.gate_results:
            lines.append("gates (docs/reliability.md):")
            lines += [f"  {_word(gate):<8}{gate.name}: {gate.detail}" for gate in self.gate_results]
            lines.append(self._conclusion())
        return lines + [f"warning: {line}" for line in self.warnings]

    def text(self) -> str:
        """The table for a terminal."""
        return "\n".join([self.title, *self.lines()])

    def html(self) -> str:
        """The table for a notebook."""
        cells = [(row.name, *_percent(row)) for row in self.rows]
        parts = [
            f"<p>{escape(self.title)}</p><table><thead><tr>",
            _cells("th", ("", "MAP (%)", "theoretical (%)")),
            "</tr></thead><tbody>",
            *(f"<tr>{_cells('td', row)}</tr>" for row in cells),
            "</tbody></table>",
        ]
        notes = [f"skipped {name}: {reason}" for name, reason in self.skipped.items()]
        if self.gate_results:
            notes += [f"{_word(gate)} {gate.name}: {gate.detail}" for gate in self.gate_results]
            notes.append(self._conclusion())
        notes += [f"warning: {line}" for line in self.warnings]
        if notes:
            parts += ["<ul>", *(f"<li>{escape(note)}</li>" for note in notes), "</ul>"]
        return "".join(parts)

    def frame(self) -> "pd.DataFrame":
        """The rows as a data frame; fractions in [0, 1].

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise InputError("to_frame() needs pandas: pip install pandas") from None
        return pd.DataFrame(self.rows, columns=list(Row._fields)).set_index("name")

    def _conclusion(self) -> str:
        failed = any(not gate.passed for gate in self.gate_results)
        word = "UNRELIABLE" if failed else "reliable as far as the gates can see"
        return f"the robust number is {word}"


def _percent(row: Row) -> tuple[str, str]:
    theoretical = "" if row.theoretical is None else f"{100 * row.theoretical:.2f}"
    return f"{100 * row.map:.2f}", theoretical


def _word(gate: GateResult) -> str:
    return "passed" if gate.passed else "FAILED"


def _cells(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)

"""An evaluation as a table: text, HTML for notebooks, a pandas data frame."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from saat.sanity import warning_lines

if TYPE_CHECKING:
    from saat.evaluation import Evaluation


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

    @property
    def percent(self) -> tuple[str, str]:
        """MAP and the theoretical one, if any, for people."""
        theoretical = "" if self.theoretical is None else f"{100 * self.theoretical:.2f}"
        return f"{100 * self.map:.2f}", theoretical


class EvaluationTable:
    """What :class:`saat.evaluation.Evaluation` shows.

    Attributes:
        rows: clean, attacks, worst case, chance, targeted attacks.
    """

    def __init__(self, evaluation: "Evaluation") -> None:
        self._evaluation = evaluation
        self._metrics = evaluation.metrics()
        self.rows = list(self._all_rows())

    def _all_rows(self) -> Iterator[Row]:
        found = self._evaluation

        def row(name: str, key: str, theory: str = "", attack: str = "") -> Row:
            theoretical = self._metrics[theory] if theory else None
            return Row(name, self._metrics[key], theoretical, len(found.query_indices_of(attack)))

        yield row("clean", "clean_map")
        for name in found.untargeted:
            yield row(name, f"map.{name}", f"theory.{name}", name)
        if found.untargeted:
            yield row("worst case", "robust_map", "floor_map")
        yield row("chance", "chance_map")
        for name in found.targets:
            yield row(f"{name} t-MAP", f"tmap.{name}", f"theory.{name}", name)
        if found.targets:
            yield row("clean t-MAP", "tmap.clean")

    def lines(self) -> list[str]:
        """Everything but the title, MAPs in percent."""
        width = 2 + max(len(row.name) for row in self.rows)
        lines = []
        for row in self.rows:
            percent, theoretical = row.percent
            beside = f"   (theoretical {theoretical})" if theoretical else ""
            lines.append(f"  {row.name:<{width}}{percent:>6}{beside}")
        return [*lines, *self._notes()]

    def _notes(self) -> Iterator[str]:
        found = self._evaluation
        yield from (f"  skipped {name}: {reason}" for name, reason in found.skipped.items())
        if found.gate_results:
            yield "gates (docs/reliability.md):"
            for gate in found.gate_results:
                yield f"  {'passed' if gate.passed else 'FAILED':<8}{gate.name}: {gate.detail}"
            word = "UNRELIABLE" if found.unreliable else "reliable as far as the gates can see"
            yield f"the robust number is {word}"
        yield from (f"warning: {line}" for line in warning_lines({"": self._metrics}))

    def text(self) -> str:
        """The table for a terminal."""
        return "\n".join([self._evaluation.title, *self.lines()])

    def html(self) -> str:
        """The table for a notebook."""
        parts = [
            f"<p>{escape(self._evaluation.title)}</p><table><thead><tr>",
            _cells("th", ("", "MAP (%)", "theoretical (%)")),
            "</tr></thead><tbody>",
            *(f"<tr>{_cells('td', (row.name, *row.percent))}</tr>" for row in self.rows),
            "</tbody></table>",
        ]
        if notes := [" ".join(note.split()) for note in self._notes()]:
            parts.append(f"<ul>{_cells('li', notes)}</ul>")
        return "".join(parts)


def _cells(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)

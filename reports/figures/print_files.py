"""The files of a figure: a picture for pages, and drawings at the widths that papers are set in."""

import io
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib
from matplotlib.figure import Figure

from reports.figures import static
from reports.figures.chart import Chart
from reports.figures.static import COLUMN, COLUMN_STYLE, PAGE

# Neither dates nor random names, so that equal results give equal files.
_PDF, _SVG = {"CreationDate": None}, {"Date": None}
_FIXED_NAMES: Any = {"svg.hashsalt": "saat"}


# Nothing of charts; a picture and a PDF; both widths of papers too, as PDF and SVG.
FigureFiles = Literal["none", "usual", "print"]


class Written(NamedTuple):
    """The picture of a figure, and what its files are called on the page, with their endings."""

    picture: bytes  # PNG
    files: tuple[tuple[str, str], ...]  # (label, what follows the stem)


def write_figure(drawing: Chart | Figure, stem: Path, wanted: FigureFiles) -> Written:
    """Write ``STEM.png`` and ``STEM.pdf``; for ``print`` more, and a chart for ``none`` not at all.

    For ``print`` the PDF of a chart is as wide as a page of two columns, and ``STEM.svg`` too.
    ``STEM-column.pdf`` and ``STEM-column.svg`` are as wide as one of the columns. A drawing that is
    no chart keeps its size: the page shows it as it is printed.
    """
    if isinstance(drawing, Chart) and wanted == "none":
        return Written(b"", ())
    whole = drawing if isinstance(drawing, Figure) else static.draw(drawing)
    _lay_out(whole)
    stored = io.BytesIO()
    whole.savefig(stored, format="png")
    stem.with_name(f"{stem.name}.png").write_bytes(stored.getvalue())
    files = [("PNG", ".png")]
    if not isinstance(drawing, Chart) or wanted == "usual":
        whole.savefig(stem.with_name(f"{stem.name}.pdf"), metadata=_PDF)
        return Written(stored.getvalue(), (*files, ("PDF", ".pdf")))
    if whole.get_size_inches()[0] != PAGE:
        whole = static.draw(drawing, PAGE)
        _lay_out(whole)
    files += _drawings(whole, stem, "", "")
    with matplotlib.rc_context(COLUMN_STYLE):
        narrow = static.draw(drawing, COLUMN)
        _lay_out(narrow)
        files += _drawings(narrow, stem, "-column", " of a column")
    return Written(stored.getvalue(), tuple(files))


def _drawings(figure: Figure, stem: Path, suffix: str, words: str) -> list[tuple[str, str]]:
    with matplotlib.rc_context(_FIXED_NAMES):
        figure.savefig(stem.with_name(f"{stem.name}{suffix}.pdf"), metadata=_PDF)
        figure.savefig(stem.with_name(f"{stem.name}{suffix}.svg"), metadata=_SVG)
    return [(f"{kind}{words}", f"{suffix}.{kind.lower()}") for kind in ("PDF", "SVG")]


def _lay_out(figure: Figure) -> None:
    """Lay out once for all files."""
    figure.draw_without_rendering()
    figure.set_layout_engine(None)

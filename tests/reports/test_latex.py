"""The LaTeX tables of a report: a strict parser reads them, and every row has all its cells.

Where there is a LaTeX, it sets them too. Text from files is hostile here: it has every character
that LaTeX reads.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reports.html import write_report
from reports.results import load_search
from reports.table_formats import latex_escape
from tests.reports.synthetic import write_run

latexwalker: Any = pytest.importorskip("pylatexenc.latexwalker", reason="no pylatexenc")

HOSTILE = r"\end{table} a_b^c ~ # $x$ 100% & {open [1] *2 <b> |p| λ μ ε ∞ ± × − → ≥ ≤ · … – \\ %"
# Macros that the tables use, and what booktabs and mathematics bring.
KNOWN = {
    "caption", "centering", "toprule", "midrule", "bottomrule", "\\", "ldots", "pm", "lambda", "mu",
    "varepsilon", "times", "infty", "geq", "leq", "to", "cdot", "textbackslash", "textasciitilde",
    "textasciicircum", "textbar", "textless", "textgreater", *"&%$#_{}",
}  # fmt: skip


def parsed(text: str) -> list[Any]:
    """The nodes of a document; unbalanced braces, dollars or environments are errors."""
    walker = latexwalker.LatexWalker(text, tolerant_parsing=False)
    nodes: list[Any] = walker.get_latex_nodes()[0]
    return nodes


def macros(nodes: Any) -> set[str]:
    """Names of all macros below some nodes."""
    found: set[str] = set()
    for node in nodes or ():
        if node is None:
            continue
        if node.isNodeType(latexwalker.LatexMacroNode):
            found.add(node.macroname)
        found |= macros(getattr(node, "nodelist", None))
        arguments = getattr(node, "nodeargd", None)
        found |= macros(arguments.argnlist if arguments else None)
    return found


PDFLATEX = shutil.which("pdflatex")
DOCUMENT = r"""\documentclass{{article}}
\usepackage{{booktabs}}
\begin{{document}}
{tables}
\end{{document}}
"""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("latex")
    runs = [write_run(folder / name, name=f"{HOSTILE} {name}") for name in ("a", "b")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.html.save_figure", lambda *_: {"plots": []})
        write_report([load_search(run) for run in runs], folder / "report")
    return sorted((folder / "report" / "tables").glob("*.tex"))


def test_every_table_is_one_environment_with_known_macros(tables: list[Path]) -> None:
    assert len(tables) >= 10
    for path in tables:
        (table,) = (
            node
            for node in parsed(path.read_text(encoding="utf-8"))
            if not node.isNodeType(latexwalker.LatexCharsNode) or node.chars.strip()
        )
        assert table.environmentname == "table", path.name
        assert macros([table]) <= KNOWN, path.name
    assert any("textbackslash" in path.read_text(encoding="utf-8") for path in tables)


@pytest.mark.skipif(not PDFLATEX, reason="no pdflatex")
def test_latex_sets_every_table(tables: list[Path], tmp_path: Path) -> None:
    # LaTeX holds back few tables at a time.
    inputs = "\n\\clearpage\n".join(path.read_text(encoding="utf-8") for path in tables)
    (tmp_path / "all.tex").write_text(DOCUMENT.format(tables=inputs), encoding="utf-8")
    done = subprocess.run(
        [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    complaints = [line for line in done.stdout.splitlines() if line.startswith("!")]
    assert done.returncode == 0, complaints or done.stdout[-500:]
    assert not re.findall(r"Missing character.*", (tmp_path / "all.log").read_text("latin-1"))
    assert (tmp_path / "all.pdf").read_bytes().startswith(b"%PDF")


def test_every_row_has_a_cell_for_each_column(tables: list[Path]) -> None:
    for path in tables:
        text = path.read_text(encoding="utf-8")
        (columns,) = re.findall(r"\\begin\{tabular\}\{([lr]*)\}", text)
        rows = [line for line in text.splitlines() if line.endswith(r" \\")]
        assert len(rows) > 1
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1, (path.name, row)


def test_hostile_text_is_text() -> None:
    escaped = latex_escape(HOSTILE)
    assert macros(parsed(escaped)) <= KNOWN
    assert not re.search(r"(?<!\\)[#%&_~^]", escaped)
    assert escaped.count("$") - escaped.count(r"\$") == 2 * len(
        re.findall("[λμε∞±×−→≥≤·]", HOSTILE)
    )

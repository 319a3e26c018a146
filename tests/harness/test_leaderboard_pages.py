"""The pages of a leaderboard: sorted, semantic, escaped, offline, the same bytes every time."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.leaderboard.pages import board_page, boards_of, write_pages
from harness.leaderboard.store import add_entries
from reports.csv_files import read_csv
from saat.errors import InputError
from tests.harness.leaderboard_entries import EVALUATION, entry

MARKUP = '<b>bold</b> & "x" <script>alert(1)</script>'
ENTRIES = [
    entry(0.62, 0.31, "a", claimed={"clean_map": 0.71, "robust_map": 0.4}),
    entry(0.66, 0.28, "b"),
    entry(0.60, 0.20, "c"),
    entry(0.61, 0.45, "d", name=MARKUP, gates__failed=["scale: [x](y)"], gates__unreliable=True),
    entry(0.5, 0.2, "e", protocol__evaluation=EVALUATION | {"steps": 10}),
]


class Page(HTMLParser):
    """Elements with their attributes, the visible text, and the cells of the first table."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    add_entries(tmp_path, ENTRIES)
    return tmp_path


def page_of(folder: Path) -> str:
    write_pages(folder)
    return (folder / ENTRIES[0].board / "index.html").read_text(encoding="utf-8")


def test_an_index_and_a_page_for_each_protocol(folder: Path) -> None:
    index, *pages = write_pages(folder)
    assert index == folder / "index.html"
    assert {path.parent.name for path in pages} == {one.board for one in ENTRIES}
    links = [a["href"] for a in Page(index.read_text(encoding="utf-8")).all("a")]
    assert {f"{path.parent.name}/index.html" for path in pages} <= set(links)


def test_the_same_entries_give_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name, entries in (("one", ENTRIES), ("two", ENTRIES[::-1])):
        add_entries(tmp_path / name, entries)
        for _ in range(2):
            write_pages(tmp_path / name)
            paths = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
            contents.append({str(p.relative_to(tmp_path / name)): p.read_bytes() for p in paths})
    assert contents[0] == contents[1] == contents[2] == contents[3]
    assert len(contents[0]) == 5 + 3 * 3


def test_entries_are_ranked_by_robust_map_and_unreliable_ones_are_not(folder: Path) -> None:
    board = boards_of(ENTRIES[:4])[0]
    assert [row.slug[-1] for row in board.rows] == ["a", "b", "c", "d"]
    assert sorted(board.ranks.values()) == [1, 2, 3]
    assert board.rows[3].slug not in board.ranks
    assert {slug[-1] for slug in board.front} == {"a", "b"}
    text = Page(page_of(folder)).text
    assert "In the first place: saat, λ=1, a, robust MAP 31.0 % (28.0–34.0)" in text
    assert "scale: [x](y)" in text


def test_claimed_stands_beside_verified(folder: Path) -> None:
    page = page_of(folder)
    assert re.search(r">40\.0<small>\+9\.0 points</small>", page)
    assert "claimed robust" in page
    assert "claimed robust" not in board_page(boards_of(ENTRIES[1:3])[0])


def test_markup_in_names_is_text(folder: Path) -> None:
    page = Page(page_of(folder))
    assert MARKUP in page.text
    assert not page.all("b")
    assert len(page.all("script")) == 1
    markdown = (folder / ENTRIES[0].board / "table.md").read_text(encoding="utf-8")
    assert "<b>" not in markdown.replace("\\<b\\>", "")
    assert "[x](y)" not in markdown


def test_a_page_is_semantic(folder: Path) -> None:
    page = Page(page_of(folder))
    assert page.all("html")[0] == {"lang": "en"}
    assert len(page.all("caption")) == 1
    scopes = [th.get("scope") for th in page.all("th")]
    assert set(scopes) == {"col", "row"}
    assert scopes.count("row") == 4
    assert page.all("a")[0] == {"class": "skip", "href": "#entries"}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [a["href"] or "" for a in page.all("a") if (a["href"] or "").startswith("#")]
    assert {target[1:] for target in targets} <= set(ids)
    assert len(page.all("details")) == 4


def test_a_page_loads_nothing(folder: Path) -> None:
    for path in write_pages(folder):
        page = Page(path.read_text(encoding="utf-8"))
        sources = [
            value
            for tag, attributes in page.elements
            for name, value in attributes.items()
            if name in ("src", "srcset", "data", "action") or (tag == "link" and name == "href")
        ]
        assert set(sources) <= {"data:,"}
        assert "default-src 'none'" in str(page.all("meta"))


def test_tables_beside_the_pages(folder: Path) -> None:
    write_pages(folder)
    table = read_csv(folder / "table.csv")
    assert len(table) == 5
    own = read_csv(folder / ENTRIES[0].board / "table.csv")
    assert own["robust MAP"].tolist() == [0.31, 0.28, 0.20, 0.45]
    assert own["place"].tolist()[:3] == [1, 2, 3]
    assert own["claimed robust MAP"][0] == 0.4
    assert own["unreliable"].tolist() == [False, False, False, True]
    markdown = (folder / ENTRIES[0].board / "table.md").read_text(encoding="utf-8")
    assert "31.0 \\[28.0, 34.0\\]" in markdown


def test_without_gates_the_page_warns(folder: Path) -> None:
    unchecked = entry(gates__checked=False)
    assert "No reliability gates were run" in board_page(boards_of([unchecked])[0])
    assert "No reliability gates were run" not in board_page(boards_of(ENTRIES[:1])[0])


def test_one_broken_entry_leaves_all_pages_as_they_are(folder: Path) -> None:
    write_pages(folder)
    before = (folder / "index.html").read_bytes()
    (folder / ENTRIES[4].board / "x.json").write_text("{")
    with pytest.raises(InputError, match=r"x\.json: damaged"):
        write_pages(folder)
    assert (folder / "index.html").read_bytes() == before


def test_a_folder_without_entries(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no entry there"):
        write_pages(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        write_pages(tmp_path / "none")

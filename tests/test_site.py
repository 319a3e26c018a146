"""The documentation site: no warning, no network, and every page that the code cites."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("saat", "harness", "reports")
# Elements that load what their address names; a link is only followed.
LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """What a page loads, the anchors it has, and the text of its paragraphs."""

    def __init__(self, path: Path):
        super().__init__()
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.paragraphs: list[str] = []
        self._inside = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in LOADING and (address := given.get(LOADING[tag])) and given.get("rel") != "next":
            self.loaded.append(address)
        if "id" in given:
            self.anchors.add(given["id"])
        if tag == "div":  # code between the lines of a paragraph
            self._inside = False
        if tag == "p":
            self._inside = True
            self.paragraphs.append("")

    def handle_endtag(self, tag):
        self._inside = self._inside and tag != "p"

    def handle_data(self, data):
        if self._inside:
            self.paragraphs[-1] += data


def build(root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    # With --quiet, --strict would not see the warnings.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    command += ["--config-file", str(root / "mkdocs.yml"), "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """Path → page of the whole site."""
    out = tmp_path_factory.mktemp("site")
    built = build(ROOT, out)
    assert built.returncode == 0, built.stdout + built.stderr
    return {str(path.relative_to(out)): Page(path) for path in out.rglob("*.html")}


@pytest.mark.slow
def test_a_page_needs_nothing_from_elsewhere(site: dict[str, Page]) -> None:
    loaded = {address for page in site.values() for address in page.loaded}
    assert len(loaded) > 10
    assert [a for a in loaded if re.match(r"(https?:)?//", a)] == []


@pytest.mark.slow
def test_every_public_module_of_the_library_has_a_page(site: dict[str, Page]) -> None:
    for path in (ROOT / "saat").rglob("*.py"):
        if path.name.startswith("_") and path.name != "__init__.py":
            continue
        page = path.relative_to(ROOT).as_posix().replace("__init__", "index")
        assert f"reference/{page.removesuffix('.py')}.html" in site
    attack = site["reference/saat/attacks/interface.html"]
    assert "saat.attacks.interface.Attack.perturb" in attack.anchors


@pytest.mark.slow
def test_markdown_is_rendered_as_it_was_meant(site: dict[str, Page]) -> None:
    """Tables, lists and roles that the renderer did not see as such stand in a paragraph."""
    faults = [
        (name, text[:60])
        for name, page in site.items()
        for text in page.paragraphs
        if re.search(r"^\s*(\||[-*] \w|\d\. )|:(class|func|meth|mod):`", text, re.MULTILINE)
    ]
    assert faults == []


@pytest.mark.slow
def test_documents_that_the_code_names_are_there(site: dict[str, Page]) -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for name, anchor in re.findall(r"(docs/[\w/-]+\.md|SECURITY\.md)(?:#([\w-]+))?", text):
                assert (ROOT / name).is_file(), f"{path}: {name}"
                if anchor:
                    page = name.removeprefix("docs/").removesuffix(".md") + ".html"
                    assert anchor in site[page].anchors, f"{path}: {name}#{anchor}"


@pytest.mark.parametrize("page", ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_root_documents_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\(([^)\s#:]+)(?:#[\w-]*)?\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_files_of_the_map_for_contributors_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    filled = "\n".join(line for line in text.splitlines() if "to be filled" not in line)
    named = re.findall(r"`((?:saat|harness|reports|tests|docs)/[\w./-]*)`", filled)
    assert len(named) > 25
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.lengthy
def test_dead_links_end_the_build(tmp_path: Path) -> None:
    for path in (ROOT / "saat", ROOT / "search_spaces", *ROOT.glob("*.md")):
        (tmp_path / path.name).symlink_to(path)
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    dead = ["nowhere.md", "reliability.md#no-such-gate", "../nowhere.yaml"]
    with (tmp_path / "docs" / "threat-model.md").open("a", encoding="utf-8") as file:
        file.writelines(f"\n[x]({link})\n" for link in dead)
    built = build(tmp_path, tmp_path / "out")
    assert built.returncode != 0
    said = built.stdout + built.stderr
    assert all(Path(link).name in said for link in dead)

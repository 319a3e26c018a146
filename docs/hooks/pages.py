"""Pages of the site that no file in ``docs/`` holds: the API reference, and the root's documents.

The API reference has a page for each public module of ``saat``, so a renamed module needs no change
here. Links that leave ``docs/`` lead to the page of the file, or to a copy of it.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# File of the repository → its page.
DOCUMENTS = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "search_spaces/README.md": "experiment_files.md",
}
# README.md has no page of its own: the site begins with one.
PAGES = {**DOCUMENTS, "README.md": "index.md"}
REFERENCE = "API reference"  # its entry in mkdocs.yml
_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the modules in the place of ``reference/`` in the navigation."""
    config.nav = [_with_reference(entry) for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for source, page in DOCUMENTS.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    for module, page in _modules().items():
        files.append(File.generated(config, page, content=f"::: {module}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Repair links: they are relative to where the text lies in the repository."""
    here = page.file.src_uri
    origin = {page: source for source, page in DOCUMENTS.items()}.get(here, f"docs/{here}")

    def repaired(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link[1]))
        return posixpath.relpath(_uri(target, config, files), posixpath.dirname(here) or ".")

    return _LINK.sub(repaired, markdown)


def _uri(target: str, config: MkDocsConfig, files: Files) -> str:
    """Where the site has a file of the repository; a file without a page is copied."""
    module = target.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    page = PAGES.get(target) or _modules().get(module if target.endswith(".py") else "")
    if page:
        return page
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    copy = f"files/{target}"
    if (ROOT / target).is_file() and copy not in files.src_uris:
        files.append(File.generated(config, copy, content=(ROOT / target).read_bytes()))
    return copy


def _modules() -> dict[str, str]:
    """Every public module of ``saat`` and its page."""
    found = {}
    for path in sorted((ROOT / "saat").rglob("*.py")):
        *package, name = path.relative_to(ROOT).with_suffix("").parts
        if name == "__init__":
            found[".".join(package)] = "/".join(("reference", *package, "index.md"))
        elif not name.startswith("_"):
            found[".".join((*package, name))] = "/".join(("reference", *package, f"{name}.md"))
    return found


def _with_reference(entry: Any) -> Any:
    """The entry of the navigation, with the reference in the place of its stand-in."""
    if entry != {REFERENCE: "reference/"}:
        return entry
    return {REFERENCE: _contents("saat", _modules())}


def _contents(package: str, modules: dict[str, str]) -> list[Any]:
    """The package's own page, then its modules by name."""
    inside = [name for name in modules if name.rpartition(".")[0] == package]
    entries: list[Any] = [modules[package]]
    for name in sorted(inside):
        is_package = modules[name].endswith("/index.md")
        page = _contents(name, modules) if is_package else modules[name]
        entries.append({name.rpartition(".")[2]: page})
    return entries

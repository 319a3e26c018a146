"""The declared runs, tables, figures and scales of ``search_spaces/paper``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from reports.paper.cells import NO_ATTACK, Cell, Setting, cell_at, points
from saat.errors import InputError, check_known

Kind = Literal["table", "precision_recall", "precision_at", "retrieved", "weights", "images"]
SCALES = ("full", "small")


@dataclass(frozen=True)
class Run:
    """Settings that are trained and attacked together, once for all tables that need them.

    ``iterations`` are those of attacks that do not take the protocol's.
    """

    name: str
    settings: tuple[Setting, ...]
    attacks: tuple[str, ...]
    iterations: Mapping[str, int] = field(default_factory=dict)

    def has(self, cell: Cell) -> bool:
        """Whether the run measures a cell."""
        if cell.setting not in self.settings:
            return False
        if cell.attack == NO_ATTACK:
            return True
        return cell.attack in self.attacks and self.iterations.get(cell.attack) == cell.steps


@dataclass(frozen=True)
class Item:
    """A table or figure of the paper.

    Attributes:
        name: of the command line, such as ``table2``.
        of_paper: what the paper calls it.
        title: of the page.
        paper_data: data sets that the paper shows.
        kind: how it is drawn.
        runs: names of the runs that its numbers come from.
        fixed: coordinates that all its cells share.
        rows: axes of the rows of a table.
        columns: axes of the columns of a table.
        panels: title → attacks, of a figure.
        says: what the paper concludes from it.
    """

    name: str
    of_paper: str
    title: str
    paper_data: tuple[str, ...]
    kind: Kind
    runs: tuple[str, ...]
    fixed: Mapping[str, Any]
    rows: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    panels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    says: tuple[str, ...] = ()

    def cells(self) -> Iterator[tuple[dict[str, Any], dict[str, Any], Cell]]:
        """Row, column and cell of every number of a table."""
        for row in points(self.rows):
            for column in points(self.columns):
                yield row, column, cell_at({**self.fixed, **row, **column})

    def source(self, cell: Cell) -> Run:
        """The run that measures a cell."""
        return next(run for run in map(run_named, self.runs) if run.has(cell))


@cache
def runs() -> dict[str, Run]:
    """All runs by their names."""
    return {name: _run(name, content) for name, content in _read("runs.yaml").items()}


def run_named(name: str) -> Run:
    """A run of :func:`runs`."""
    return runs()[name]


def _run(name: str, content: Mapping[str, Any]) -> Run:
    settings = [
        cell_at({**point, "attack": NO_ATTACK, "measure": "map"}).setting
        for axes in content["settings"]
        for point in points(axes)
    ]
    iterations = content.get("iterations", {})
    return Run(name, tuple(dict.fromkeys(settings)), tuple(content["attacks"]), iterations)


@cache
def items() -> dict[str, Item]:
    """All tables and figures by their names, tables first."""
    folder = files("search_spaces") / "paper" / "tables"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    ordered = sorted(names, key=lambda name: (name.startswith("figure"), name))
    return {name.removesuffix(".yaml"): _item(name.removesuffix(".yaml")) for name in ordered}


def _item(name: str) -> Item:
    content = _read(f"tables/{name}.yaml")
    for key in ("paper_data", "runs", "says"):
        content[key] = tuple(content[key])
    return Item(name, **content)


def chosen_items(names: Sequence[str]) -> list[Item]:
    """Tables and figures by their names, in the paper's order; ``all`` stands for every one.

    Raises:
        InputError: an unknown name.
    """
    known = items()
    for name in names:
        check_known("reproduce", name, [*known, "all"])
    return [item for name, item in known.items() if name in names or "all" in names]


def needed_runs(chosen: Sequence[Item]) -> list[Run]:
    """The runs of some tables and figures, each once, in their declared order."""
    wanted = {name for item in chosen for name in item.runs}
    return [run for name, run in runs().items() if name in wanted]


def scale_content(scale: str) -> dict[str, Any]:
    """The declared content of a scale.

    Raises:
        InputError: an unknown scale.
    """
    check_known("--scale", scale, SCALES)
    return _read(f"scales/{scale}.yaml")


def datasets_of(scale: str) -> list[str]:
    """Names of the data sets that a scale is declared for."""
    return list(scale_content(scale)["data"])


def check_data(scale: str, data: str) -> None:
    """Refuse a data set that a scale is not declared for.

    Raises:
        InputError: such a data set; it names the other scale where that has it.
    """
    known = datasets_of(scale)
    others = [s for s in SCALES if s != scale and data in datasets_of(s)]
    if data not in known and others:
        raise InputError(
            f"--data {data}: not at --scale {scale}; --scale {others[0]}, or one of "
            f"{', '.join(known)}"
        )
    check_known("--data", data, known)


def _read(path: str) -> dict[str, Any]:
    text = (files("search_spaces") / "paper").joinpath(*path.split("/")).read_text("utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content

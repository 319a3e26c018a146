"""``saat list``: what is there to choose from."""

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import existing_parent
from saat.errors import InputError, did_you_mean, one_line, printable
from saat.registry import OWN_PACKAGE, Registry

if TYPE_CHECKING:  # takes pydantic, which completion and help need nothing of
    from harness.catalogue import Entry


class SomeUnreadable(InputError):
    """Some of the entries, or of the runs, cannot be read.

    Attributes:
        readable: the lines of the others.
    """

    def __init__(self, problems: Sequence[str], rows: Mapping[str, str]) -> None:
        others = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        super().__init__(f"{problems[0]}{others}")
        self.readable = _lines(rows)


def listing(what: str, runs_dir: Path, data_root: Path | None = None) -> str:
    """A line an entry: its name and one sentence.

    Args:
        what: A key of :data:`LISTS`.
        runs_dir: Folder of all runs.
        data_root: Folder that contains the folders of named data sets; ``SAAT_DATA`` where None.

    Raises:
        InputError: there is no such list; :class:`SomeUnreadable` where runs or packages are
            damaged.
    """
    if what not in LISTS:
        hint = did_you_mean(what, LISTS)
        raise InputError(f"list {one_line(what, 60)}: one of {', '.join(LISTS)}{hint}")
    return _lines(LISTS[what](runs_dir, data_root)) or f"no {what} yet"


def _lines(rows: Mapping[str, str]) -> str:
    width = max((len(name) for name in rows), default=0)
    return "\n".join(printable(f"{name:<{width}}  {text}") for name, text in rows.items())


def _registered(
    registry: str,
    describe: "Callable[[str, Entry[Any]], str]" = lambda _, entry: entry.description,
    before: Mapping[str, str] | None = None,
    after: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """A line an entry, which ends with the package that brings it where that is another one.

    Args:
        registry: attribute of the catalogue.
        describe: (name, entry) → its line.
        before: lines above.
        after: lines below.

    Raises:
        SomeUnreadable: packages bring entries that cannot be used.
    """
    from harness.catalogue import catalogue  # here, so that LISTS costs nothing

    entries: Mapping[str, Entry[Any]] = getattr(catalogue(), registry)
    found = {**(before or {})}
    for name, entry in entries.items():
        if not entry.problem:
            found[name] = _with_package(describe(name, entry), entry.package)
    found |= after or {}
    if problems := [entry.problem for entry in entries.values() if entry.problem]:
        raise SomeUnreadable(problems, found)
    return found


def _with_package(text: str, package: str) -> str:
    return text if package == OWN_PACKAGE else f"{text} [{package}]"


def _imported(registry: "Registry[Any]") -> dict[str, str]:
    """A line an entry of a registry that is not in the catalogue; imports them all.

    Raises:
        SomeUnreadable: packages bring entries that cannot be used.
    """
    found, problems = {}, []
    for name in registry:
        try:
            found[name] = _with_package(registry.description(name), registry.package(name))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise SomeUnreadable(problems, found)
    return found


def _samplers(*_: object) -> dict[str, str]:
    from harness.search.samplers import SAMPLERS

    return _imported(SAMPLERS)


def _schedulers(*_: object) -> dict[str, str]:
    from harness.search.schedulers import SCHEDULERS

    return _imported(SCHEDULERS)


def _metrics(*_: object) -> dict[str, str]:
    from saat.metrics import METRICS

    return _imported(METRICS)


def _datasets(_: Path, data_root: Path | None) -> dict[str, str]:
    from harness.experiment.datasets import dataset_line

    return _registered(
        "datasets",
        lambda name, entry: dataset_line(name, entry, data_root),
        after={"data.path": "any folder in the list format of docs/datasets.md"},
    )


def _spaces(*_: object) -> dict[str, str]:
    folder = files("search_spaces")
    paths = sorted(str(entry) for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return {path: _comment(Path(path)) for path in paths}


def _comment(path: Path) -> str:
    """The comment a file begins with."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ")


def _searches(runs_dir: Path, _: object) -> dict[str, str]:
    from harness.journal.state import NeverStarted, load_state, summary

    existing_parent(runs_dir, "--runs-dir")
    found, problems = {}, []
    files = (*runs_dir.glob("*/events.jsonl"), *runs_dir.glob("*/experiment.yaml"))
    for run_dir in sorted({path.parent for path in files}):
        name = printable(run_dir.name)
        try:
            _, state = load_state(run_dir)
        except NeverStarted:
            found[name] = "never started"
        except InputError as error:
            problems.append(str(error))
        else:
            ended = "finished" if state.finished else "unfinished"
            found[name] = f"{ended}, {summary(state)}"
    if problems:
        raise SomeUnreadable(problems, found)
    return found


LISTS: Mapping[str, Callable[[Path, Path | None], dict[str, str]]] = {
    "datasets": _datasets,
    "backbones": lambda *_: _registered("backbones"),
    "hashing": lambda *_: _registered("hashing"),
    "attacks": lambda *_: _registered("attacks"),
    "defenses": lambda *_: _registered("defenses", before={"none": "the pretrained model itself"}),
    "samplers": _samplers,
    "schedulers": _schedulers,
    "metrics": _metrics,
    "spaces": _spaces,
    "searches": _searches,
}

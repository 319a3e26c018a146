"""``saat list``: data sets, attacks, defenses, … to choose from, and the searches."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import existing_parent
from saat.data_source import dataset_folder
from saat.errors import InputError, check_known, printable
from saat.registry import OWN_PACKAGE, Registry
from saat.wording import counted

if TYPE_CHECKING:  # imports pydantic, which completion and help do not need
    from harness.catalogue import Dataset, Entry
    from saat.metrics import Metric


# A name, and the function that gives the line about it; InputError where it cannot be read.
Row = tuple[str, Callable[[], str]]


def entries(
    what: str, runs_dir: Path, data_root: Path | None = None
) -> tuple[dict[str, str], list[str]]:
    """The entries of one of :data:`LISTS`: each name with a sentence about it.

    ``data_root`` contains the folders of named data sets; None stands for ``SAAT_DATA``.

    Returns:
        The sentences by name, and what is wrong with runs or packages that have none.

    Raises:
        InputError: there is no such list.
    """
    check_known("list", what, LISTS)
    found, problems = {}, []
    for name, line in LISTS[what](runs_dir, data_root):
        try:
            found[name] = line()
        except InputError as error:
            problems.append(str(error))
    return found, problems


def listing(what: str, runs_dir: Path, data_root: Path | None = None) -> tuple[str, list[str]]:
    """The same as lines: a name and its sentence in each."""
    found, problems = entries(what, runs_dir, data_root)
    width = max(map(len, found), default=0)
    lines = [printable(f"{name:<{width}}  {text}") for name, text in found.items()]
    return "\n".join(lines) or ("" if problems else f"no {what} yet"), problems


def _with_package(text: str, package: str) -> str:
    return text if package == OWN_PACKAGE else f"{text} [{package}]"


def _catalogued(
    registry: str,
    describe: "Callable[[str, Entry[Any]], str]" = lambda _, entry: entry.description,
) -> Iterator[Row]:
    """Entries of a registry in the catalogue; ``describe`` turns (name, entry) into a line."""
    from harness.catalogue import catalogue  # here, so that LISTS costs nothing

    def line(name: str, entry: "Entry[Any]") -> str:
        entry.usable()
        return _with_package(describe(name, entry), entry.package)

    for name, entry in getattr(catalogue(), registry).items():
        yield name, partial(line, name, entry)


def _imported(
    module: str, registry: str, more: Callable[[str, Any], str] | None = None
) -> Iterator[Row]:
    """Entries of a registry that is not in the catalogue; imports those without a summary.

    ``more`` says what follows the description, from (name, entry), and imports them all.
    """
    registered: Registry[Any] = getattr(import_module(module), registry)

    def line(name: str) -> str:
        about = more(name, registered[name]) if more else ""
        text = f"{registered.description(name)} {about}".rstrip()
        return _with_package(text, registered.package(name))

    return ((name, partial(line, name)) for name in registered)


def dataset_line(name: str, entry: "Entry[Dataset]", data_root: Path | None) -> str:
    """A sentence about a named set: what is here, or where to get it. No image is read.

    ``data_root`` contains the folders of the sets; ``SAAT_DATA`` where None.
    """
    facts = entry.usable()
    about = f"{entry.description}, {counted(facts.classes, 'class', 'classes')}"
    if facts.folder is None:
        return f"{about}; {facts.obtain}"
    try:
        folder = dataset_folder(name, facts.folder, facts.obtain, data_root)
    except InputError as error:
        return f"{about}; {str(error).removeprefix(f'data: {name} ')}"
    from saat.data.folder import read_named  # torch, which only a set that is here needs
    from saat.data.identity import set_label

    try:
        lists = read_named(folder, name, facts.classes)
    except InputError as error:
        return f"{about}; not usable: {error}; {facts.obtain}"
    unlabelled, sizes = lists.labels.max(axis=1) == 0, []
    for split in ("train", "database", "test"):
        rows = lists.rows[split]
        without = int(unlabelled[rows].sum())
        sizes.append(f"{len(rows)} {split}" + (f" ({without} without a label)" if without else ""))
    label = set_label(name, lists.content_sha256)
    return f"{about}; {label} in {folder}: {', '.join(sizes)}"


def _datasets(_: Path, data_root: Path | None) -> Iterator[Row]:
    yield from _catalogued("datasets", lambda name, entry: dataset_line(name, entry, data_root))
    yield "data.path", lambda: "any folder in the list format of docs/datasets.md"


def _spaces(*_: object) -> Iterator[Row]:
    def first_line(path: Path) -> str:
        return path.read_text("utf-8").partition("\n")[0].lstrip("# ")

    for path in sorted(Path(str(files("search_spaces"))).glob("*.yaml")):
        yield str(path), partial(first_line, path)


def _metric_aims(name: str, metric: "Metric") -> str:
    """Which keys of an experiment file may name a metric, and how."""
    word, bound = ("max", "at_least") if metric.higher_is_better else ("min", "at_most")
    uses = [f"objectives ({word})"] * metric.objective + [
        f"constraints ({bound})"
    ] * metric.constraint
    return f"val/{name} in {', '.join(uses)}." if uses else ""


def _searches(runs_dir: Path, _: object) -> Iterator[Row]:
    from harness.journal.state import NeverStarted, load_state, summary

    def line(run_dir: Path) -> str:
        try:
            _, state = load_state(run_dir)
        except NeverStarted:
            return "never started"
        return f"{'finished' if state.finished else 'unfinished'}, {summary(state)}"

    existing_parent(runs_dir, "--runs-dir")
    files = (*runs_dir.glob("*/events.jsonl"), *runs_dir.glob("*/experiment.yaml"))
    folders = sorted({path.parent for path in files})
    return ((printable(run_dir.name), partial(line, run_dir)) for run_dir in folders)


_UNDEFENDED = ("none", lambda: "the pretrained model itself")
LISTS: Mapping[str, Callable[[Path, Path | None], Iterable[Row]]] = {
    "datasets": _datasets,
    "backbones": lambda *_: _catalogued("backbones"),
    "hashing": lambda *_: _catalogued("hashing"),
    "attacks": lambda *_: _catalogued("attacks"),
    "defenses": lambda *_: (_UNDEFENDED, *_catalogued("defenses")),
    "samplers": lambda *_: _imported("harness.search.samplers.registry", "SAMPLERS"),
    "schedulers": lambda *_: _imported("harness.search.schedulers.registry", "SCHEDULERS"),
    "metrics": lambda *_: _imported("saat.metrics", "METRICS", _metric_aims),
    "spaces": _spaces,
    "searches": _searches,
}

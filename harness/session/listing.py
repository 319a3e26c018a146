"""``saat list``: what is there to choose from."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

from harness.files import existing_parent
from saat.errors import InputError, did_you_mean, one_line, printable
from saat.wording import counted


class SomeUnreadable(InputError):
    """Some of the runs cannot be read.

    Attributes:
        readable: the lines of the others.
    """

    def __init__(self, message: str, rows: Mapping[str, str]) -> None:
        super().__init__(message)
        self.readable = _lines(rows)


def listing(what: str, runs_dir: Path, data_root: Path | None = None) -> str:
    """A line an entry: its name and one sentence.

    Args:
        what: A key of :data:`LISTS`.
        runs_dir: Folder of all runs.
        data_root: Folder that contains the folders of named data sets; ``SAAT_DATA`` where None.

    Raises:
        InputError: there is no such list; :class:`SomeUnreadable` where runs are damaged.
    """
    if what not in LISTS:
        hint = did_you_mean(what, LISTS)
        raise InputError(f"list {one_line(what, 60)}: one of {', '.join(LISTS)}{hint}")
    return _lines(LISTS[what](runs_dir, data_root)) or f"no {what} yet"


def _lines(rows: Mapping[str, str]) -> str:
    width = max((len(name) for name in rows), default=0)
    return "\n".join(printable(f"{name:<{width}}  {text}") for name, text in rows.items())


def _datasets(_: Path, data_root: Path | None) -> dict[str, str]:
    from harness.experiment.datasets import dataset_lines

    return dataset_lines(data_root)


def _methods(registry: str) -> dict[str, str]:
    """Of a registry of the catalogue, which is imported here to keep ``LISTS`` free of cost."""
    from harness.catalogue import catalogue

    entries = getattr(catalogue(), registry)
    return {name: entry.description or entry.problem for name, entry in entries.items()}


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
        more = f" (and {counted(len(problems) - 1, 'more such run')})" if problems[1:] else ""
        raise SomeUnreadable(f"{problems[0]}{more}", found)
    return found


LISTS: Mapping[str, Callable[[Path, Path | None], dict[str, str]]] = {
    "datasets": _datasets,
    "backbones": lambda *_: _methods("backbones"),
    "hashing": lambda *_: _methods("hashing"),
    "attacks": lambda *_: _methods("attacks"),
    "defenses": lambda *_: {"none": "the pretrained model itself", **_methods("defenses")},
    "spaces": _spaces,
    "searches": _searches,
}

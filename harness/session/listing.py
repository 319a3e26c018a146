"""``saat list``: what is there to choose from."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

from harness.experiment.datasets import dataset_lines
from harness.files import existing_parent
from saat.attacks import ATTACKS
from saat.defenses import DEFENSES
from saat.errors import InputError, did_you_mean, one_line, printable
from saat.hashing import OBJECTIVES
from saat.models import BACKBONES
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


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().partition("\n")[0]


def _datasets(_: Path, data_root: Path | None) -> dict[str, str]:
    return dataset_lines(data_root)


def _attacks(*_: object) -> dict[str, str]:
    return {
        name: f"{'targeted' if attack.targeted else 'untargeted'}: {_first_line(attack)}"
        for name, attack in ATTACKS.items()
    }


def _spaces(*_: object) -> dict[str, str]:
    folder = files("search_spaces")
    paths = sorted(str(entry) for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return {path: _comment(Path(path)) for path in paths}


def _comment(path: Path) -> str:
    """The comment a file begins with."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ")


def _searches(runs_dir: Path, _: object) -> dict[str, str]:
    from harness.journal.state import NeverStarted, load_state
    from harness.session.session import summary

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
    "backbones": lambda *_: {name: entry.description for name, entry in BACKBONES.items()},
    "hashing": lambda *_: {name: _first_line(item) for name, item in OBJECTIVES.items()},
    "attacks": _attacks,
    "defenses": lambda *_: {
        "none": "the pretrained model itself",
        **{name: entry.description for name, entry in DEFENSES.items()},
    },
    "spaces": _spaces,
    "searches": _searches,
}

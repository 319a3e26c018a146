"""``saat list``: what is there to choose from."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

from harness.experiment.datasets import dataset_lines
from saat.attacks import ATTACKS
from saat.defenses import DEFENSES
from saat.errors import InputError, did_you_mean, one_line
from saat.hashing import OBJECTIVES
from saat.models import BACKBONES


def listing(what: str, runs_dir: Path, data_root: Path | None = None) -> str:
    """A line an entry: its name and one sentence.

    Args:
        what: A key of :data:`LISTS`.
        runs_dir: Folder of all runs.
        data_root: Folder that contains the folders of named data sets; ``SAAT_DATA`` where None.

    Raises:
        InputError: there is no such list.
    """
    if what not in LISTS:
        hint = did_you_mean(what, LISTS)
        raise InputError(f"list {one_line(what, 60)}: one of {', '.join(LISTS)}{hint}")
    rows = LISTS[what](runs_dir, data_root)
    width = max((len(name) for name in rows), default=0)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows.items()) or f"no {what} yet"


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
    from harness.journal.journal import read
    from harness.journal.state import SearchState
    from harness.session.session import summary

    found = {}
    for path in sorted(runs_dir.glob("*/events.jsonl")):
        state = SearchState(read(path))
        ended = "finished" if state.finished else "unfinished"
        found[path.parent.name] = f"{ended}, {summary(state)}"
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

"""Which paths of a stored run this user has named: when it began, or now.

A run of somebody else may carry the path of any file of this user. So whoever begins a run leaves a
receipt of its paths in a folder of his own, and no other path is read unless ``--allow`` names it.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from saat.atomic_files import replacing
from saat.errors import InputError, one_line
from saat.paths import user_path

if TYPE_CHECKING:  # takes pydantic, and every command imports this module
    from harness.experiment.config import Experiment

_KEYS = (("data", "path"), ("data", "root"), ("model", "weights"))
_NO_FILES = ("none", "imagenet")  # of ``model.weights``


class CarriedPath(NamedTuple):
    """A path that an experiment or a setting carries, and the dotted key whose value it is."""

    key: str
    path: str


class PathsNotNamed(InputError):
    """Paths that are not read, because only the run names them; ``--allow`` has to name them."""

    def __init__(self, source: str, carried: Sequence[CarriedPath]) -> None:
        shown = ", ".join(f"{key} {path}" for key, path in carried)
        super().__init__(
            f"{source}: carries {shown}; read only if you began this run with it, or name it now"
        )
        self.paths = list(dict.fromkeys(path for _, path in carried))


def setting_paths(config: Mapping[str, Any]) -> Iterator[CarriedPath]:
    """The paths of a setting, or of the sections of an experiment file."""
    for section, name in _KEYS:
        part = config.get(section)
        if isinstance(part, Mapping):
            yield from _carried(f"{section}.{name}", part.get(name))


def experiment_paths(experiment: "Experiment") -> Iterator[CarriedPath]:
    """The paths of all settings that an experiment can lead to, searched and compared ones too."""
    yield from setting_paths(experiment.config.dump())
    for name, point in experiment.compare.items():
        yield from _carried(f"compare.{name}.model.weights", point.get("model.weights"))
    searched = experiment.space.get("model.weights")
    for value in searched.samples() if searched else []:
        yield from _carried("space.model.weights", value)


def _carried(key: str, value: object) -> Iterator[CarriedPath]:
    is_word = key.endswith(".weights") and value in _NO_FILES
    if isinstance(value, str) and value and not is_word:
        yield CarriedPath(key, value)


def leave_receipt(search_id: str, carried: Iterable[CarriedPath]) -> None:
    """Keep that this user began a run with these paths; raises OSError where that fails.

    ``search_id`` stands in the run's first event. Nobody else can know it beforehand.
    """
    paths = {os.fsencode(os.path.realpath(_path(item))) for item in carried}
    if not paths:
        return
    receipt = _receipt(search_id)
    for folder in (receipt.parents[1], receipt.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(receipt) as temporary:
        temporary.write_bytes(b"\0".join(sorted(paths)))


def not_named(
    search_id: str | None, carried: Iterable[CarriedPath], allow: Sequence[Path] = ()
) -> list[CarriedPath]:
    """The ``carried`` paths that the user has not named.

    ``search_id`` is that of the run's first event, None for a model outside a run. ``allow`` are
    files, and folders with all that lies in them. Without it and a receipt no path is looked at. A
    path that no file can have raises InputError.
    """
    own: list[Path] = []
    if search_id is not None:
        with suppress(OSError):
            receipt = _receipt(search_id).read_bytes()
            own = [Path(os.fsdecode(path)) for path in receipt.split(b"\0")]
    allowed = [Path(os.path.realpath(path)) for path in allow]
    items = [item._replace(path=str(_path(item).absolute())) for item in carried]
    if not own and not allowed:
        return items

    def is_named(path: Path) -> bool:
        return path in own or any(path.is_relative_to(folder) for folder in allowed)

    return [item for item in items if not is_named(Path(os.path.realpath(item.path)))]


def check_named(
    source: str, search_id: str | None, carried: Iterable[CarriedPath], allow: Sequence[Path]
) -> None:
    """Raise PathsNotNamed where :func:`not_named` finds some."""
    if left := not_named(search_id, carried, allow):
        raise PathsNotNamed(source, left)


def _path(item: CarriedPath) -> Path:
    return user_path(item.path, f"{item.key}:", look=False)


def _receipt(search_id: str) -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    try:
        root = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError as error:
        raise OSError(one_line(error)) from None
    return root / "saat" / "runs" / hashlib.sha256(search_id.encode()).hexdigest()

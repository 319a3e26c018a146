"""Where the data of a trained model lie now: another place, the same data."""

from pathlib import Path

from harness.experiment.config import TrialConfig
from harness.experiment.configs import with_sections
from saat.data import DATASETS
from saat.errors import InputError


def relocated(config: TrialConfig, data_path: Path | None, data_root: Path | None) -> TrialConfig:
    """The setting with its data looked for elsewhere; whoever loads them compares fingerprints.

    ``data_path`` is the folder of the lists of a model that was trained on a path, ``data_root``
    contains the folder of the named set of any other one.

    Raises:
        InputError: an option that does not fit the model's data, or no such folder.
    """
    data = config.data
    fitting = "neither --data-path nor --data-root"
    if data.path is not None:
        fitting = "--data-path"
    elif data.name is not None and DATASETS[data.name].folder is not None:
        fitting = "--data-root"
    changes: dict[str, str] = {}
    for key, place in (("path", data_path), ("root", data_root)):
        option = f"--data-{key}"
        if place is None:
            continue
        if option != fitting:
            known = data.name or data.path
            raise InputError(f"{option} {place}: the model's data are {known}; {fitting}")
        if not place.is_dir():
            raise InputError(f"{option} {place}: no such folder")
        changes[key] = str(place.absolute())
    if data.path is not None and data_path is None and not Path(data.path).is_dir():
        raise InputError(f"{data.path}: the model's data are not here; --data-path FOLDER")
    return with_sections(config, {"data": {**data.model_dump(), **changes}})

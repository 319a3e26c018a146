"""Where the data of a trained model lie now: another place, the same data."""

from pathlib import Path

from harness.experiment.config import TrialConfig
from harness.experiment.configs import with_sections
from saat.data import DATASETS
from saat.errors import InputError


def relocated(config: TrialConfig, data_path: Path | None, data_root: Path | None) -> TrialConfig:
    """The setting with its data looked for elsewhere; whoever loads them compares fingerprints.

    Args:
        config: As it was trained.
        data_path: The folder of the lists now, for a model that was trained on a path.
        data_root: The folder that contains the set's folder now, for a model that was trained
            on a named set.

    Raises:
        InputError: an option that does not fit the model's data, or no such folder.
    """
    data = config.data
    is_listed = data.name is not None and DATASETS[data.name].folder is not None
    if data_path is not None and data.path is None:
        fitting = "--data-root" if is_listed else "neither --data-path nor --data-root"
        raise InputError(f"--data-path {data_path}: the model's data are {data.name}; {fitting}")
    if data_root is not None and not is_listed:
        fitting = "neither --data-path nor --data-root" if data.path is None else "--data-path"
        raise InputError(
            f"--data-root {data_root}: the model's data are {data.name or data.path}; {fitting}"
        )
    changes: dict[str, str] = {}
    for key, place in (("path", data_path), ("root", data_root)):
        if place is not None:
            if not place.is_dir():
                raise InputError(f"--data-{key} {place}: no such folder")
            changes[key] = str(place.absolute())
    if data.path is not None and data_path is None and not Path(data.path).is_dir():
        raise InputError(f"{data.path}: the model's data are not here; --data-path FOLDER")
    return with_sections(config, {"data": {**data.model_dump(), **changes}})

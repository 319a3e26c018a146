"""From the content of an experiment file to one typed :class:`Experiment`, checked as a whole."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from harness.experiment.config import Experiment
from harness.experiment.point_faults import compare_faults, space_faults
from harness.experiment.problems import describe
from saat.data import DATASETS
from saat.errors import InputError
from saat.models import check_backbone
from saat.paths import user_path


def resolve_experiment(content: Mapping[Any, Any], source: str) -> Experiment:
    """Fill in defaults, make paths absolute, and check every key and every combination of keys.

    Args:
        content: of an experiment file; left as it is.
        source: names it in errors.

    Raises:
        InputError: with everything that is wrong; combinations of keys are looked at where each
            key is right.
    """
    raw = _with_battery(content)
    faults = _make_absolute(raw)
    try:
        experiment = Experiment.model_validate(raw)
    except ValidationError as error:
        faults += describe(error, Experiment, raw)
    else:
        faults += _combination_faults(experiment)
    if faults:
        raise InputError(*(f"{source}: {fault}" for fault in faults))
    return experiment


def _combination_faults(experiment: Experiment) -> list[str]:
    model = experiment.model
    try:
        check_backbone(model.backbone, model.weights, experiment.data.image_size)
        faults = space_faults(experiment)
    except InputError as error:
        faults = list(error.faults)
    return faults + compare_faults(experiment)


def _with_battery(content: Mapping[Any, Any]) -> dict[Any, Any]:
    """The content with the default of ``confirm.battery``, which depends on the data.

    A claim on real data rests on the whole battery; an embedded set is there to try things.
    """
    confirm, data = content.get("confirm", {}), content.get("data")
    if not isinstance(confirm, Mapping) or not isinstance(data, Mapping):
        return {**content}
    known = DATASETS.get(str(data.get("name")))
    embedded = known is not None and known.folder is None
    return {**content, "confirm": {"battery": "core" if embedded else "full", **confirm}}


def _make_absolute(raw: dict[Any, Any]) -> list[str]:
    """Paths as seen from here, as workers have working folders of their own; what is no path.

    A wrong path is taken out, so that the rest can be checked.
    """
    faults: list[str] = []
    for section, key in (("data", "path"), ("data", "root"), ("model", "weights")):
        part = raw.get(section)
        value = part.get(key) if isinstance(part, Mapping) else None
        if not isinstance(part, Mapping) or not isinstance(value, str):
            continue
        if value in ("", "none", "imagenet"):
            continue
        try:
            path = str(user_path(value, f"{section}.{key}:").absolute())
        except InputError as error:
            faults += error.faults
            path = "none" if key == "weights" else "/"
        raw[section] = {**part, key: path}
    return faults

"""From the content of an experiment file to one typed :class:`Experiment`, checked as a whole."""

from collections.abc import Mapping
from typing import Any

from harness.experiment.config import Experiment
from harness.experiment.configs import check_model
from harness.experiment.point_faults import compare_faults, space_faults
from harness.experiment.section import collecting, parsed
from harness.experiment.section_faults import section_faults
from harness.experiment.sections import usable_datasets
from harness.named_paths import setting_paths
from saat.errors import InputError
from saat.paths import user_path


def resolve_experiment(content: Mapping[Any, Any], source: str, files: bool = True) -> Experiment:
    """Fill in defaults, make paths absolute, and check every key and every combination of keys.

    ``content`` is left as it is, and ``source`` names it in errors. ``files`` says whether the
    files that it names are looked at.

    Raises:
        InputError: all that is wrong. Combinations are only checked where each key is right.
    """
    raw = _with_battery(content)
    faults = _make_absolute(raw, files)
    with collecting(faults):
        experiment = parsed(Experiment, raw)
        if wrong := section_faults(experiment):
            raise InputError(*wrong)
        with collecting(faults):
            check_model(experiment.config)
            faults += space_faults(experiment, files)
        faults += compare_faults(experiment, files)
    if faults:
        raise InputError(*(f"{source}: {fault}" for fault in faults))
    return experiment


def _with_battery(content: Mapping[Any, Any]) -> dict[Any, Any]:
    """The content with the default of ``confirm.battery``, which depends on the data.

    A claim on real data rests on the whole battery; an embedded set is there to try things.
    """
    confirm, data = content.get("confirm", {}), content.get("data")
    if not isinstance(confirm, Mapping) or not isinstance(data, Mapping):
        return {**content}
    known = usable_datasets().get(str(data.get("name")))
    embedded = known is not None and known.folder is None
    return {**content, "confirm": {"battery": "core" if embedded else "full", **confirm}}


def _make_absolute(raw: dict[Any, Any], look: bool) -> list[str]:
    """Paths as seen from here, as workers have working folders of their own.

    Returns faults; a wrong path is taken out, so that the rest can be checked.
    """
    faults: list[str] = []
    for key, value in setting_paths(raw):
        section, _, name = key.partition(".")
        path = "none" if name == "weights" else "/"
        with collecting(faults):
            path = str(user_path(value, f"{key}:", look).absolute())
        raw[section] = {**raw[section], name: path}
    return faults

"""Reading experiment files: YAML, ``--set`` overrides, and every error as one line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.experiment.config import Experiment, typed_sections
from harness.experiment.method_override import method_override_faults
from harness.experiment.point_faults import compare_faults, space_faults
from harness.experiment.problems import describe, method_of
from harness.experiment.sections import dataset_folders
from harness.experiment.validation_errors import SHOWN
from harness.experiment.yaml_file import YamlError, parse_yaml, read_yaml
from saat.errors import InputError, one_line
from saat.paths import user_path


def load_experiment(
    path: Path, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None
) -> tuple[Experiment, list[str]]:
    """Read, override and check an experiment file.

    Args:
        path: a YAML file.
        overrides: ``key=value`` pairs; a value is YAML.
        values: keys that options of their own replace.

    Returns:
        The experiment, and notes for the user (searched keys that an override fixed).

    Raises:
        InputError: anything wrong with the file or an override.
    """
    raw = read_yaml(path, "an experiment")
    written = method_of(raw)
    faults: list[str] = []
    notes: list[str] = []
    for pair in overrides:
        try:
            notes += _override(raw, pair)
        except InputError as error:
            faults += error.faults
    for key, value in (values or {}).items():
        _replace(raw, key, value, f"{key}:")
    source = one_line(path, 200)
    found = _make_absolute(raw) + method_override_faults(raw, written)
    faults += [f"{source}: {fault}" for fault in found]
    try:
        experiment = parse_experiment(raw, source)
    except InputError as error:
        raise InputError(*faults, *error.faults) from None
    if faults:
        raise InputError(*faults)
    return experiment, notes


def parse_experiment(raw: Mapping[Any, Any], source: str) -> Experiment:
    """Check the parsed content of an experiment file; ``source`` names it in errors.

    Raises:
        InputError: with everything that is wrong; combinations of keys are looked at where each
            key is right.
    """
    typed, faults = _with_sections(raw)
    try:
        experiment = Experiment.model_validate(typed)
    except ValidationError as error:
        faults += describe(error, Experiment, raw)
    if not faults:
        faults = space_faults(experiment) + compare_faults(experiment)
    if faults:
        raise InputError(*(f"{source}: {fault}" for fault in faults))
    return experiment


def _override(raw: dict[Any, Any], pair: str) -> list[str]:
    """Replace a key of the content; a sentence where that ends its being searched."""
    key, equals, text = pair.partition("=")
    shown = f"--set {one_line(key, SHOWN)}"
    if not equals or not key:
        raise InputError(
            f"--set {one_line(pair, SHOWN)}: write key=value, for example defense.lambda=2"
        )
    try:
        value = parse_yaml(text)
    except YamlError as error:
        raise InputError(f"{shown}: the value is not YAML ({error})") from None
    _replace(raw, key, value, shown)
    space = raw.get("space")
    if isinstance(space, dict) and key in space:
        del space[key]
        return [f"--set {one_line(pair, 200)}: {key} is no longer searched"]
    return []


def _replace(raw: dict[Any, Any], key: str, value: Any, shown: str) -> None:
    """Give a dotted key of the content a value; ``shown`` names it in an error."""
    *sections, name = key.split(".") if not key.startswith("space.") else ["space", key[6:]]
    where: Any = raw
    for section in sections:
        where = where.setdefault(section, {})
        if not isinstance(where, dict):
            raise InputError(f"{shown}: {one_line(section, SHOWN)} is not a section")
    where[name] = value
    if sections == ["data"] and name in ("path", "name"):
        where.pop("name" if name == "path" else "path", None)


def _make_absolute(raw: Mapping[Any, Any]) -> list[str]:
    """Paths as seen from here, as workers have working folders of their own; what is no path.

    A wrong path is taken out, so that the rest can be checked.
    """
    faults: list[str] = []
    for section, key in (("data", "path"), ("data", "root"), ("model", "weights")):
        part = raw.get(section)
        if not isinstance(part, dict):
            continue
        value = part.get(key)
        if isinstance(value, str) and value not in ("", "none", "imagenet"):
            try:
                part[key] = str(user_path(value, f"{section}.{key}:").absolute())
            except InputError as error:
                faults += error.faults
                part[key] = "none" if key == "weights" else "/"
    return faults


def _with_sections(raw: Mapping[Any, Any]) -> tuple[Any, list[str]]:
    out = {**raw}
    out.setdefault("pretrain", {})
    out.setdefault("defense", {})
    confirm, data = out.get("confirm", {}), out.get("data")
    if isinstance(confirm, Mapping) and isinstance(data, Mapping):
        # A claim on real data rests on the whole battery; an embedded set is there to try things.
        embedded = dataset_folders().get(str(data.get("name")), "") is None
        out["confirm"] = {"battery": "core" if embedded else "full", **confirm}
    return typed_sections(out)

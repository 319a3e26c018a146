"""Reading experiment files: YAML, ``--set`` overrides, and every error as one line."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.experiment.config import METHODS, Experiment, Setting, digest, typed_sections
from harness.experiment.method_override import method_override_faults
from harness.experiment.problems import describe, method_of
from harness.experiment.sections import defense_model
from harness.experiment.space import SEARCHABLE, Dimension
from harness.experiment.validation_errors import SHOWN, nearest
from harness.experiment.yaml_file import YamlError, parse_yaml, read_yaml
from saat.data import DATASETS
from saat.defenses import DEFENSES
from saat.errors import InputError, did_you_mean, one_line
from saat.models import check_backbone
from saat.paths import user_path

CORNERS = 1024  # combinations of choices that are tried before a search starts


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
        faults = _space_faults(experiment) + _compare_faults(experiment)
    if faults:
        raise InputError(*(f"{source}: {fault}" for fault in faults))
    return experiment


def setting_at(experiment: Experiment, point: Mapping[str, Any]) -> Setting:
    """The setting of a search point: the experiment's own with ``point``'s dotted keys replaced.

    Another ``defense.method`` starts from its own published defaults: a learning rate of one
    method means nothing for another.

    Raises:
        InputError: a value that the key does not allow.
    """
    raw = {
        "data": experiment.data.model_dump(),
        "model": experiment.model.model_dump(),
        "pretrain": experiment.pretrain.model_dump(),
        "defense": experiment.defense.model_dump(),
    }
    method = point.get("defense.method", raw["defense"]["method"])
    if method != raw["defense"]["method"] and method in METHODS:
        raw["defense"] = defense_model(method)().model_dump()
    faults = []
    for key, value in point.items():
        section, _, name = key.partition(".")
        shown = one_line(key, SHOWN)
        if section not in SEARCHABLE:
            faults.append(f"{shown}: only keys of {', '.join(SEARCHABLE)} can differ")
        elif name not in raw[section]:
            hint, known = did_you_mean(name, raw[section]), ", ".join(raw[section])
            faults.append(f"{shown}: no such key{hint}; keys of {section}: {known}")
        else:
            raw[section][name] = value
    if faults:
        raise InputError(*faults)
    return parse_setting(raw)


def parse_setting(raw: Mapping[str, Any]) -> Setting:
    """Check a setting; errors name the dotted key."""
    typed, faults = typed_sections(raw)
    try:
        setting = Setting.model_validate(typed)
    except ValidationError as error:
        faults += describe(error, Setting, raw)
    if faults:
        raise InputError(*faults)
    check_backbone(setting.model.backbone, setting.model.weights, setting.data.image_size)
    return setting


def longest_training(experiment: Experiment) -> int:
    """Epochs of a sampled trial that reaches its end; the most where they differ."""
    base = setting_at(experiment, {}).flat()
    keys = ("defense.method", "defense.epochs")
    points = {
        tuple((key, point[key]) for key in keys if key in point)
        for point in islice(corners(experiment.space, base), CORNERS)
    }
    settings = (setting_at(experiment, dict(point)) for point in points)
    return max(int(setting.defense.model_dump().get("epochs", 0)) for setting in settings)


def undefended(setting: Setting) -> Setting:
    """The same pretrained model without a defense."""
    return parse_setting({**setting.dump(), "defense": {"method": "none"}})


def paper_defaults(experiment: Experiment) -> list[dict[str, Any]]:
    """The published setting of the experiment's defense as search points, one per bit length.

    Other fields stay as in the experiment, whether or not the space contains the point.
    """
    method = experiment.defense.model_dump()["method"]
    if method == "none":
        return []
    section = defense_model(method)()
    values = section.model_dump()
    point = {f"defense.{key}": values[key] for key in DEFENSES[method].settings.published}
    bits = experiment.space.get("model.bits")
    if bits is None:
        return [point]
    return [{"model.bits": value, **point} for value in sorted(set(bits.samples()))]


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
        known = DATASETS.get(str(data.get("name")))
        embedded = known is not None and known.folder is None
        out["confirm"] = {"battery": "core" if embedded else "full", **confirm}
    return typed_sections(out)


def _space_faults(experiment: Experiment) -> list[str]:
    """What is wrong with points that can be suggested, as far as the ends of ranges tell."""
    space = experiment.space
    try:
        base = setting_at(experiment, {}).flat()
    except InputError as error:
        return list(error.faults)
    faults = [
        fault
        for key, dimension in space.items()
        for fault in _dimension_faults(experiment, key, dimension, base)
    ]
    if not faults:
        for point in islice(corners(space, base), CORNERS):
            # Of a combination all its parts are named: each of them alone was allowed.
            parts = " ".join(f"{key}={one_line(value, SHOWN)}" for key, value in point.items())
            if faults := _point_faults(experiment, point, f"space: {parts}"):
                break
    return faults


def _dimension_faults(
    experiment: Experiment, key: str, dimension: Dimension, base: Mapping[str, Any]
) -> list[str]:
    """What is wrong with one searched key; of several wrong values the first."""
    if key.partition(".")[0] not in SEARCHABLE or "." not in key:
        hint = did_you_mean(key, base)
        shown = one_line(key, SHOWN)
        return [f"space.{shown}: only keys of {', '.join(SEARCHABLE)} can be searched{hint}"]
    faults = _condition_faults(experiment.space, key, base)
    if faults:
        return faults
    for value in dimension.samples():
        point = {**_condition(dimension), key: value}
        if faults := _point_faults(experiment, point, f"space.{one_line(key, SHOWN)}"):
            break
    return faults


def _compare_faults(experiment: Experiment) -> list[str]:
    """Settings of ``compare`` that are impossible, or the same as another."""
    faults: list[str] = []
    seen: dict[str, str] = {}
    for name, point in experiment.compare.items():
        wrong = _point_faults(experiment, point, f"compare.{name}")
        faults += wrong
        if wrong:
            continue
        same = seen.setdefault(digest(setting_at(experiment, point).identity()), name)
        if same != name:
            faults.append(f"compare.{name}: the same setting as compare.{same}")
    return faults


def _point_faults(experiment: Experiment, point: Mapping[str, Any], where: str) -> list[str]:
    try:
        setting_at(experiment, point)
    except InputError as error:
        return [f"{where}: {fault}" for fault in error.faults]
    return []


def _condition(dimension: Dimension) -> dict[str, Any]:
    """A point at which the dimension applies."""
    return {k: w[0] if isinstance(w, list) else w for k, w in dimension.when.items()}


def _condition_faults(
    space: Mapping[str, Dimension], key: str, base: Mapping[str, Any]
) -> list[str]:
    """Conditions that name no key decided before the conditional one, or that never hold."""
    faults = []
    before = list(space)[: list(space).index(key)]
    for other, wanted in space[key].when.items():
        where = f"space.{one_line(key, SHOWN)}.when.{one_line(other, SHOWN)}"
        if other in space and other not in before:
            faults.append(f"{where}: searched too; write it before {one_line(key, SHOWN)}")
            continue
        if other not in space and other not in base:
            faults.append(f"{where}: no such key{nearest(other, base)}")
            continue
        values = wanted if isinstance(wanted, list) else [wanted]
        if not values:
            faults.append(f"{where}: []: a value, or a list of at least one")
        for value in values:
            can_be = space[other].contains(value) if other in space else value == base[other]
            if not can_be:
                found = "what is searched" if other in space else base[other]
                faults.append(f"{where}: {one_line(repr(value), SHOWN)}: never so, it is {found}")
    return faults


def corners(space: Mapping[str, Dimension], base: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Points of every combination of choices, with all ranges at their lower, then upper ends."""
    choices = {key: d.samples() for key, d in space.items() if d.choice is not None}
    for chosen in product(*choices.values(), (0, -1)):
        values = dict(zip(choices, chosen, strict=False))
        point: dict[str, Any] = {}
        for key, dimension in space.items():
            if dimension.applies({**base, **point}):
                point[key] = values.get(key, dimension.samples()[chosen[-1]])
        yield point

"""Reading experiment files: YAML, ``--set`` overrides, and every error as one line."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from harness.experiment.config import Experiment, Setting, digest, typed_sections
from harness.experiment.problems import describe, nearest
from harness.experiment.sections import defense_model
from harness.experiment.space import SEARCHABLE, Dimension
from saat.data import DATASETS
from saat.defenses import DEFENSES
from saat.errors import InputError, one_line
from saat.models import check_backbone

CORNERS = 1024  # combinations of choices that are tried before a search starts


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> tuple[Experiment, list[str]]:
    """Read, override and check an experiment file.

    Args:
        path: a YAML file.
        overrides: ``key=value`` pairs; a value is YAML.

    Returns:
        The experiment, and notes for the user (searched keys that an override fixed).

    Raises:
        InputError: anything wrong with the file or an override.
    """
    raw = read_yaml(path, "an experiment")
    notes = [note for pair in overrides if (note := _override(raw, pair))]
    _make_absolute(raw)
    return parse_experiment(raw, str(path)), notes


def parse_experiment(raw: Mapping[str, Any], source: str) -> Experiment:
    """Check the parsed content of an experiment file; ``source`` names it in errors."""
    try:
        experiment = Experiment.model_validate(_with_sections(raw))
    except ValidationError as error:
        raise InputError(f"{source}: {describe(error, Experiment, raw)}") from None
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    _check_space(experiment, source)
    _check_compared(experiment, source)
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
    if method != raw["defense"]["method"] and method in ("none", *DEFENSES):
        raw["defense"] = defense_model(method)().model_dump()
    for key, value in point.items():
        section, _, name = key.partition(".")
        if section not in SEARCHABLE:
            raise InputError(f"{key}: only keys of {', '.join(SEARCHABLE)} can differ")
        if name not in raw[section]:
            options = nearest(name, raw[section])
            raise InputError(
                f"{key}: no such key{options}; keys of {section}: {', '.join(raw[section])}"
            )
        raw[section][name] = value
    return parse_setting(raw)


def parse_setting(raw: Mapping[str, Any]) -> Setting:
    """Check a setting; errors name the dotted key."""
    try:
        setting = Setting.model_validate(typed_sections(raw))
    except ValidationError as error:
        raise InputError(describe(error, Setting, raw)) from None
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


class _Loader(yaml.SafeLoader):
    """YAML in which a key that is given twice is an error, not silently the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                problem = f"the key {key.value} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """The mapping in a YAML file; ``what`` the file is, for errors.

    Raises:
        InputError: no such file, no YAML, a key twice, or no mapping.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({one_line(error, 100)})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise InputError(f"{path}:{where} {one_line(problem, 120)}") from None
    except (ValueError, RecursionError) as error:  # 2001-13-45, a number of 5,000 digits, [[[[…
        raise InputError(f"{path}: not YAML ({one_line(error, 100)})") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path}: {what} is a mapping of keys, not {type(raw).__name__}")
    return raw


def _override(raw: dict[str, Any], pair: str) -> str | None:
    key, equals, text = pair.partition("=")
    if not equals or not key:
        raise InputError(f"--set {pair}: write key=value, for example defense.lambda=2")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InputError(f"--set {one_line(key, 80)}: the value is not YAML") from None
    *sections, name = key.split(".") if not key.startswith("space.") else ["space", key[6:]]
    where: Any = raw
    for section in sections:
        where = where.setdefault(section, {})
        if not isinstance(where, dict):
            raise InputError(f"--set {key}: {section} is not a section")
    where[name] = value
    if sections == ["data"] and name in ("path", "name"):
        where.pop("name" if name == "path" else "path", None)
    space = raw.get("space")
    if isinstance(space, dict) and key in space:
        del space[key]
        return f"--set {pair}: {key} is no longer searched"
    return None


def _make_absolute(raw: Mapping[str, Any]) -> None:
    """Paths as seen from here; workers have working folders of their own."""
    for section, key in (("data", "path"), ("data", "root"), ("model", "weights")):
        part = raw.get(section)
        if not isinstance(part, dict):
            continue
        value = part.get(key)
        if isinstance(value, str) and value not in ("", "none", "imagenet"):
            part[key] = str(Path(value).expanduser().absolute())


def _with_sections(raw: Mapping[str, Any]) -> Any:
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


def _check_space(experiment: Experiment, source: str) -> None:
    """Every point that can be suggested is a setting, as far as the ends of its ranges tell."""
    space = experiment.space
    base = _check_point(experiment, {}, "", source).flat()
    for key, dimension in space.items():
        if key.partition(".")[0] not in SEARCHABLE or "." not in key:
            raise InputError(
                f"{source}: space.{key}: only keys of {', '.join(SEARCHABLE)} can be searched"
            )
        _check_conditions(space, key, base, f"{source}: space.{key}.when")
        for value in dimension.samples():
            _check_point(experiment, {**_condition(dimension), key: value}, f"space.{key}", source)
    for point in islice(corners(space, base), CORNERS):
        _check_point(experiment, point, "space", source)


def _check_compared(experiment: Experiment, source: str) -> None:
    """Every setting of ``compare`` is possible, and no two are the same."""
    seen: dict[str, str] = {}
    for name, point in experiment.compare.items():
        setting = _check_point(experiment, point, f"compare.{name}", source)
        same = seen.setdefault(digest(setting.identity()), name)
        if same != name:
            raise InputError(f"{source}: compare.{name}: the same setting as compare.{same}")


def _check_point(
    experiment: Experiment, point: Mapping[str, Any], where: str, source: str
) -> Setting:
    try:
        return setting_at(experiment, point)
    except InputError as error:
        # Of a combination all its parts are named: each of them alone was allowed.
        parts = " ".join(f"{key}={value}" for key, value in point.items())
        place = f"{where}: " if where else ""
        given = f"{parts}: " if where == "space" else ""
        raise InputError(f"{source}: {place}{given}{error}") from None


def _condition(dimension: Dimension) -> dict[str, Any]:
    """A point at which the dimension applies."""
    return {k: w[0] if isinstance(w, list) else w for k, w in dimension.when.items()}


def _check_conditions(
    space: Mapping[str, Dimension], key: str, base: Mapping[str, Any], where: str
) -> None:
    """A condition names a key that is decided before the conditional one, and can hold."""
    before = list(space)[: list(space).index(key)]
    for other, wanted in space[key].when.items():
        if other in space and other not in before:
            raise InputError(f"{where}.{other}: searched too; write it before {key}")
        if other not in space and other not in base:
            raise InputError(f"{where}.{other}: no such key{nearest(other, base)}")
        for value in wanted if isinstance(wanted, list) else [wanted]:
            can_be = space[other].contains(value) if other in space else value == base[other]
            if not can_be:
                found = "what is searched" if other in space else base[other]
                raise InputError(f"{where}.{other}: {value!r}: never so, it is {found}")
        if wanted == []:
            raise InputError(f"{where}.{other}: []: a value, or a list of at least one")


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

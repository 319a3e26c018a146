"""Reading experiment files: a user's with ``--set`` overrides, and those of stored runs."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.experiment.config import DEFAULT_METHOD, METHODS, Experiment
from harness.experiment.resolve import resolve_experiment
from harness.experiment.section import SHOWN, collecting, keys_of, parse_number
from harness.experiment.sections import defense_model
from harness.experiment.yaml_file import parse_yaml, read_yaml
from reports.wording import norm_note
from saat.errors import InputError, one_line

# What versions without these keys did.
_EARLIER: dict[str, dict[str, Any]] = {
    "resources": {"checkpoint_seconds": 0},
    "search": {"prior": "none", "prefer": {}, "each": None},
    "validation": {"database": "all", "every": 1},
}
# What earlier versions lack and a CPU has always done. On a GPU they left convolutions to cuDNN,
# which computed them in TF32.
_AS_EVER_ON_A_CPU = ("evaluation.precision", "resources.precision", "resources.compile")


def load_experiment(
    path: Path, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None
) -> tuple[Experiment, list[str]]:
    """Read, override and resolve a user's experiment file.

    Args:
        path: of the file.
        overrides: ``key=value`` pairs; a value is YAML.
        values: keys that options of their own replace.

    Returns:
        The experiment, and notes for the user: searched keys that an override fixed, and numbers
        that do not have the norm of the evaluation.

    Raises:
        InputError: all that is wrong with the file and the overrides.
    """
    raw = read_yaml(path, "an experiment")
    written = method_of(raw)
    faults: list[str] = []
    notes: list[str] = []
    for pair in overrides:
        with collecting(faults):
            notes += _override(raw, pair)
    for key, value in (values or {}).items():
        _replace(raw, key, value, f"{key}:")
    source = one_line(path, 200)
    faults += [f"{source}: {fault}" for fault in _method_faults(raw, written)]
    with collecting(faults):
        experiment = resolve_experiment(raw, source)
    if faults:
        raise InputError(*faults)
    return experiment, [*notes, *norm_note(experiment.evaluation.norm)]


def load_stored(path: Path, files: bool = False) -> tuple[Experiment, dict[str, Any]]:
    """The resolved experiment of a run's ``experiment.yaml``, whichever version began it.

    ``files`` says whether the files that it names are looked at: only if the user named them.

    Returns:
        The experiment, and the dotted keys that its file lacks, with the defaults they have here.
    """
    raw = read_yaml(path, "an experiment")
    for section, earlier in _EARLIER.items():
        if isinstance(given := raw.get(section), dict):
            raw[section] = earlier | given
    validation = raw.get("validation")
    if isinstance(validation, dict) and validation.get("attack") == "mainstay":
        del validation["attack"]  # earlier versions wrote it; there was never another one
    experiment = resolve_experiment(raw, one_line(path, 200), files)
    missing = dict(_missing(experiment.dump(), raw))
    as_ever = () if experiment.resources.gpus else _AS_EVER_ON_A_CPU
    for key in (*as_ever, *experiment.config.unset_later):
        missing.pop(key, None)
    return experiment, missing


def _missing(whole: Mapping[str, Any], given: Any, section: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys, and values, of ``whole`` that ``given`` lacks."""
    for key, value in whole.items():
        if not isinstance(given, Mapping) or key not in given:
            yield f"{section}{key}", value
        elif isinstance(value, Mapping):
            yield from _missing(value, given[key], f"{section}{key}.")


def _override(raw: dict[Any, Any], pair: str) -> list[str]:
    """Replace a key of the content; a sentence where that ends its being searched."""
    key, equals, text = pair.partition("=")
    if not equals or not key:
        wrong = one_line(pair, SHOWN)
        raise InputError(f"--set {wrong}: write key=value, for example defense.lambda=2")
    shown = f"--set {one_line(key, SHOWN)}"
    try:
        value = parse_yaml(text)
    except InputError as error:
        raise InputError(f"{shown}: the value is not YAML ({error})") from None
    searched = _searched(raw)
    _replace(raw, key, value, shown)
    space, notes = raw.get("space"), []
    if isinstance(space, dict) and key in space:
        del space[key]
        _settle_conditions(space, key, value)
        notes = [f"--set {one_line(pair, 200)}: {key} is no longer searched"]
    _forget(raw, searched - _searched(raw))
    return notes


def _searched(raw: Mapping[Any, Any]) -> set[Any]:
    space = raw.get("space")
    return set(space) if isinstance(space, dict) else set()


def _forget(raw: Mapping[Any, Any], keys: Collection[Any]) -> None:
    """Remove what ``search`` says of keys that are searched no more."""
    search = raw.get("search")
    if not isinstance(search, dict):
        return
    if isinstance(search.get("each"), str) and search["each"] in keys:
        del search["each"]
    if isinstance(prior := search.get("prior"), dict):
        search["prior"] = {key: guess for key, guess in prior.items() if key not in keys}


def _settle_conditions(space: dict[Any, Any], key: str, value: Any) -> None:
    """Remove conditions on a key that has one value, and searched keys that never apply then."""
    for name, dimension in list(space.items()):
        when = dimension.get("when") if isinstance(dimension, dict) else None
        if not isinstance(when, dict) or key not in when:
            continue
        wanted = when[key] if isinstance(when[key], list) else [when[key]]
        if parse_number(value) in map(parse_number, wanted):
            dimension["when"] = {other: w for other, w in when.items() if other != key}
        else:
            del space[name]


def _replace(raw: dict[Any, Any], key: str, value: Any, shown: str) -> None:
    """Give a dotted key of the content a value; ``shown`` names it in an error."""
    *sections, name = ["space", key[6:]] if key.startswith("space.") else key.split(".")
    where: Any = raw
    for section in sections:
        where = where.setdefault(section, {})
        if not isinstance(where, dict):
            raise InputError(f"{shown}: {one_line(section, SHOWN)} is not a section")
    where[name] = value
    if sections == ["data"] and name in ("path", "name"):
        where.pop("name" if name == "path" else "path", None)


def method_of(raw: Mapping[Any, Any]) -> str:
    """The defense that a file's content names; the default where it names none that there is."""
    section = raw.get("defense")
    method = section.get("method") if isinstance(section, Mapping) else None
    return str(method) if method in METHODS else DEFAULT_METHOD


def _method_faults(raw: dict[Any, Any], written: str) -> list[str]:
    """A line that names the keys that the new method does not have, and commands that work.

    Those keys are removed from ``raw``, so that the rest of it can be checked; ``written`` is the
    method before all overrides.
    """
    method = method_of(raw)
    if method == written:
        return []
    own = {f"defense.{key}" for key in keys_of(defense_model(method))}
    emptied = [part for part in ("space", "compare") if raw.get(part)]
    defense, space = raw["defense"], raw.get("space")
    foreign = [key for key in defense if f"defense.{key}" not in own]
    searched = space if isinstance(space, dict) else {}
    unsearchable = [key for key in searched if str(key).startswith("defense.") and key not in own]
    wrong = []
    if foreign:
        wrong.append("does not know " + one_line(", ".join(f"defense.{k}" for k in foreign), 100))
    if unsearchable:
        wrong.append("cannot search " + one_line(", ".join(unsearchable), 100))
    if "compare" in emptied:
        wrong.append(f"is not what compare begins with, {written}")
    if not wrong:
        return []
    for section, keys in ((defense, foreign), (searched, unsearchable)):
        for key in keys:
            del section[key]
    _forget(raw, unsearchable)
    raw.pop("compare", None)
    options = "".join(f" --set {part}={{}}" for part in emptied)
    return [
        f"defense.method={method}: {method} {' and '.join(wrong)}; alone: saat train FILE "
        f"--set 'defense={{method: {method}}}'{options}; beside {written}: saat compare FILE "
        f"--set 'compare={{{written}: {{}}, {method}: {{defense.method: {method}}}}}'"
    ]

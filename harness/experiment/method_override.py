"""``--set defense.method=…`` where the file has keys that only its own method knows."""

from collections.abc import Mapping
from typing import Any

from harness.experiment.config import METHODS
from harness.experiment.section import keys_of
from harness.experiment.sections import defense_model
from saat.errors import one_line


def method_of(raw: Any) -> str:
    """The defense that a file's content names; the default where it names none that there is."""
    section = raw.get("defense") if isinstance(raw, Mapping) else None
    method = section.get("method", "saat") if isinstance(section, Mapping) else "saat"
    return str(method) if method in METHODS else "saat"


def method_override_faults(raw: dict[Any, Any], written: str) -> list[str]:
    """A line that names the keys that the new method does not have, and commands that work.

    Those keys are removed from ``raw``, so that the rest of it can be checked.

    Args:
        raw: the content after all overrides.
        written: the method before them.
    """
    method = method_of(raw)
    if method == written:
        return []
    own = {f"defense.{name}" for name in keys_of(defense_model(method))}
    defense: dict[Any, Any] = raw["defense"]
    space: dict[Any, Any] = raw["space"] if isinstance(raw.get("space"), dict) else {}
    given = [f"defense.{key}" for key in defense]
    searched = [str(key) for key in space]
    foreign = [key for key in given if key not in own]
    unsearchable = [key for key in searched if key.startswith("defense.") and key not in own]
    emptied = [part for part in ("space", "compare") if raw.get(part)]
    if not foreign and not unsearchable and "compare" not in emptied:
        return []
    for key in foreign:
        del defense[key.removeprefix("defense.")]
    for key in unsearchable:
        del space[key]
    raw.pop("compare", None)
    wrong = [f"does not know {one_line(', '.join(foreign), 100)}"] if foreign else []
    wrong += [f"cannot search {one_line(', '.join(unsearchable), 100)}"] if unsearchable else []
    wrong += [f"is not what compare begins with, {written}"] if "compare" in emptied else []
    options = "".join(f" --set {part}={{}}" for part in emptied)
    return [
        f"defense.method={method}: {method} {' and '.join(wrong)}; alone: saat train FILE "
        f"--set 'defense={{method: {method}}}'{options}; beside {written}: saat compare FILE "
        f"--set 'compare={{{written}: {{}}, {method}: {{defense.method: {method}}}}}'"
    ]

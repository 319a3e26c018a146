"""``--set defense.method=…`` where the file has keys that only its own method knows."""

from collections.abc import Mapping
from typing import Any

from harness.experiment.config import DEFAULT_METHOD, METHODS
from harness.experiment.section import keys_of
from harness.experiment.sections import defense_model
from saat.errors import one_line


def method_of(raw: Mapping[Any, Any]) -> str:
    """The defense that a file's content names; the default where it names none that there is."""
    section = raw.get("defense")
    method = section.get("method") if isinstance(section, Mapping) else None
    return str(method) if method in METHODS else DEFAULT_METHOD


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
    raw.pop("compare", None)
    options = "".join(f" --set {part}={{}}" for part in emptied)
    return [
        f"defense.method={method}: {method} {' and '.join(wrong)}; alone: saat train FILE "
        f"--set 'defense={{method: {method}}}'{options}; beside {written}: saat compare FILE "
        f"--set 'compare={{{written}: {{}}, {method}: {{defense.method: {method}}}}}'"
    ]

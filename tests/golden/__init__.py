"""Golden numbers: what every version of a formula computes on a fixed network and fixed data.

``NAME@VERSION`` → numbers, a file a kind beside this one. Numbers that change need another version,
or runs of before and after would be compared. Record those of new versions with
``python -m tests.golden``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.golden.numbers import KINDS

FOLDER = Path(__file__).parent
# Another order of summation moves numbers less than this, another formula more.
TOLERANCE = 2e-3
# Adam's first steps have the size of its rate however small a gradient is. So where a generator is
# trained, another order of summation moves numbers up to 0.01; other formulas by 0.05 and more.
OF_GENERATORS = {"all_points": 0.02, "prosgan": 0.02, "tta_gan": 0.02}
COMMAND = "python -m tests.golden"


def names(kind: str) -> list[str]:
    """What has numbers of a kind."""
    return list(KINDS[kind].versions())


def problem(kind: str, name: str, folder: Path = FOLDER) -> str | None:
    """What is wrong with the golden numbers of one formula; None where nothing is."""
    key = f"{name}@{KINDS[kind].versions()[name]}"
    stored = recorded(kind, folder)
    if key not in stored:
        return f"{kind}: no golden numbers of {key}; record them: {COMMAND}"
    tolerance = OF_GENERATORS.get(name, TOLERANCE)
    differing = differences(stored[key], KINDS[kind].compute(name), tolerance)
    if not differing:
        return None
    return (
        f"{kind}: numbers of {key} changed ({'; '.join(differing[:3])}); if that is meant, raise "
        f"its version, and record them: {COMMAND}"
    )


def recorded(kind: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Numbers by ``NAME@VERSION``."""
    path = folder / f"{kind}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def record(folder: Path = FOLDER) -> list[str]:
    """Write numbers of versions that have none, drop those that are gone.

    Returns:
        What is wrong with the others, which stay as they are.
    """
    problems = []
    for kind, formulas in KINDS.items():
        stored, kept = recorded(kind, folder), {}
        for name, version in formulas.versions().items():
            key = f"{name}@{version}"
            kept[key] = stored[key] if key in stored else formulas.compute(name)
            if key in stored and (wrong := problem(kind, name, folder)):
                problems.append(wrong)
        lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in kept.items())
        (folder / f"{kind}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return problems


def differences(stored: Any, found: Any, tolerance: float, where: str = "") -> list[str]:
    """Places where nested numbers differ by more than the tolerance."""
    if isinstance(stored, Mapping) and isinstance(found, Mapping) and stored.keys() == found.keys():
        pairs = [(f"{where}.{key}", stored[key], found[key]) for key in stored]
    elif isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        pairs = [(f"{where}[{i}]", *pair) for i, pair in enumerate(zip(stored, found, strict=True))]
    else:
        numbers = isinstance(stored, int | float) and isinstance(found, int | float)
        same = abs(stored - found) <= tolerance if numbers else stored == found
        return [] if same else [f"{where.lstrip('.')}: {stored} recorded, {found} now"]
    return [d for place, one, other in pairs for d in differences(one, other, tolerance, place)]

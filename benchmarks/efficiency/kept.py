"""Replays that are done, in a file: a comparison goes on with those that are missing.

The first line says what was compared, every other one is a replay. The lines of a method that is to
be replayed again, of another version of a sampler for example, can be removed.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.efficiency.replay import Replay
from saat.errors import InputError


class KeptReplays:
    """Replays by seed and method, each appended to a file as soon as it is known.

    Args:
        path: of the file.
        compared: what all replays of the file have in common.

    Raises:
        InputError: the file has replays of another comparison.
    """

    def __init__(self, path: Path, compared: Mapping[str, Any]) -> None:
        self._path = path
        self.replays: dict[int, dict[str, Replay]] = defaultdict(dict)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if path.exists() else ""
        first, *lines = text[: text.rfind("\n") + 1].splitlines() or [""]
        if not first:
            path.write_text(json.dumps(compared) + "\n")
        elif json.loads(first) != compared:
            raise InputError(f"{path}: has replays of {first}; choose another folder")
        for line in map(json.loads, lines):
            self.replays[line["seed"]][line["method"]] = _replay(line["replay"])

    def add(self, seed: int, found: Mapping[str, Replay]) -> None:
        """Keep replays of a seed, and write those that the file lacks."""
        with self._path.open("a") as file:
            for method, one in found.items():
                if method not in self.replays[seed]:
                    line = {"method": method, "seed": seed, "replay": _plain(one)}
                    file.write(json.dumps(line) + "\n")
                    self.replays[seed][method] = one


def _plain(one: Replay) -> dict[str, Any]:
    curve = {"cost": one.cost.tolist(), "hypervolume": one.hypervolume.tolist()}
    return {**one._asdict(), **curve}


def _replay(plain: Mapping[str, Any]) -> Replay:
    curve = {key: np.array(plain[key], dtype=np.float64) for key in ("cost", "hypervolume")}
    return Replay(**{**plain, **curve, "settings": tuple(plain["settings"])})

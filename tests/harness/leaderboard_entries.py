"""Entries of a leaderboard, made up but valid, for tests of the schema and the pages."""

import json
from pathlib import Path
from typing import Any

from harness.experiment.section import parsed
from harness.files import write_json
from harness.journal.protocol_identity import hash_of_protocol
from harness.leaderboard.entry import Entry
from reports.checksums import with_checksum

EVALUATION: dict[str, Any] = {
    "top_k": 200, "ties": "expected", "norm": "linf", "eps": 8 / 255, "steps": 20,
    "attacks": ["mainstay", "hag"], "options": {}, "target_seed": 0, "precision": "fp32",
}  # fmt: skip


def estimate(mean: float, half: float = 0.03) -> dict[str, Any]:
    """A MAP with an interval of ``half`` on either side."""
    return {"mean": mean, "low": mean - half, "high": mean + half, "std": 0.01}


def raw(
    clean: float = 0.6, robust: float = 0.3, digit: str = "a", **changes: Any
) -> dict[str, Any]:
    """The content of an entry; ``changes`` replace parts: ``data__label="x"`` is ``data.label``.

    ``digit`` fills the hash of its setting. The hash of the protocol is made to fit.
    """
    content: dict[str, Any] = {
        "schema_version": 1,
        "name": f"saat, λ=1, {digit}",
        "defense": {
            "method": "saat",
            "description": "minimax training",
            "reference": {"paper": "A paper", "year": 2023, "link": "https://example.org/a"},
        },
        "model": {"backbone": "small_cnn", "weights": "none", "hashing": "dph", "bits": 32},
        "data": {
            "label": "digits", "fingerprint": "f" * 64, "image_size": 32, "classes": 10,
            "database": 800, "queries": 100,
        },
        "threat_model": {"norm": "linf", "eps": 8 / 255},
        "protocol": {
            "hash": "", "evaluation": dict(EVALUATION), "battery": "core", "battery_version": 2,
            "versions": {"hag": 2},
        },
        "config_hash": digit * 64,
        "setting": {"model.bits": 32, "defense.lambda": 1.0, "defense.mu": 0.0001},
        "measured": {
            "clean_map": estimate(clean), "robust_map": estimate(robust),
            "attacks": {"mainstay": robust + 0.01, "hag": robust + 0.02}, "targeted": {},
            "chance_map": 0.1, "floor_map": 0.05, "seeds": [1, 2],
        },
        "claimed": None,
        "gates": {"checked": True, "failed": [], "doubts": [], "unreliable": False},
        "cost": {"seconds": 100.0, "epochs": 8, "device": "cpu", "gpu": None},
        "verification": {"numbers": 1000, "trials": ["a", "b"], "release": "0.1.0"},
        "origin": {
            "run": "demo", "role": "recommended", "command": "saat search demo.yaml",
            "release": "0.1.0", "revision": None, "finished": "2026-11-30",
        },
    }  # fmt: skip
    for key, value in changes.items():
        *sections, name = key.split("__")
        part = content
        for section in sections:
            part = part[section]
        part[name] = value
    protocol = content["protocol"]
    protocol["hash"] = protocol["hash"] or hash_of_protocol(
        content["data"]["fingerprint"],
        protocol["evaluation"],
        protocol["battery"],
        protocol["versions"],
    )
    return content


def entry(clean: float = 0.6, robust: float = 0.3, digit: str = "a", **changes: Any) -> Entry:
    """A valid entry; see :func:`raw`."""
    return parsed(Entry, raw(clean, robust, digit, **changes))


def written(folder: Path, content: dict[str, Any], name: str = "") -> Path:
    """The file of an entry where it belongs, whatever is wrong with it."""
    valid = entry()
    path = folder / valid.board / f"{name or valid.slug}.json"
    write_json(path, with_checksum(json.loads(json.dumps(content))))
    return path

"""A realistic run on disk, without any training: what a finished quickstart search leaves."""

import json
import zlib
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from reports.results import write_epochs, write_trials

QUERIES, DATABASE = 80, 400
ATTACKS = ("mainstay", "hag")
SEEDS = (101, 102, 103)
EXPERIMENT: dict[str, Any] = {
    "schema_version": 1,
    "name": "quickstart",
    "data": {"name": "digits", "image_size": 32},
    "model": {"backbone": "small_cnn", "hashing": "dph", "bits": 32},
    "defense": {"method": "saat", "epochs": 6, "lambda": 1.0, "mu": 1e-4, "eps": 8 / 255},
    "space": {
        "model.bits": {"choice": [16, 32]},
        "defense.lambda": {"float": [0.1, 10.0], "log": True},
        "defense.mu": {"float": [1e-5, 1e-2], "log": True},
        "defense.eps": {"float": [2 / 255, 16 / 255]},
        "defense.steps": {"int": [1, 10]},
    },
    "validation": {"attack": "mainstay", "eps": "8/255", "steps": 10, "queries": 200},
    "evaluation": {
        "top_k": 1000,
        "ties": "expected",
        "eps": "8/255",
        "steps": 100,
        "attacks": list(ATTACKS),
    },
}
_STAGES = [f"seconds.{name}" for name in ("decode", "pretraining", "inner_pgd", "reattack")]
# Clean and robust MAP at the end of (role, bits) on test queries.
_TESTED = {
    ("recommended", 32): (0.84, 0.66),
    ("recommended", 16): (0.80, 0.62),
    ("default", 32): (0.85, 0.58),
    ("default", 16): (0.82, 0.55),
    ("undefended", 32): (0.89, 0.20),
    ("undefended", 16): (0.87, 0.19),
}


def write_run(
    path: Path,
    *,
    name: str = "quickstart",
    protocol: str = "protocol-a",
    seeds: tuple[int, ...] = SEEDS,
    explore: bool = True,
    complete: bool = True,
    phases: tuple[str, ...] = ("confirm",),
    shift: float = 0.0,
    aims: dict[str, Any] | None = None,
    attacks: tuple[str, ...] = ATTACKS,
    explored: int = 12,
) -> Path:
    """Write a run folder with ``explored`` explore trials and return it.

    ``aims`` are further keys of its experiment; with them, the trials have every metric that can
    be an objective.
    """
    path.mkdir(parents=True)
    content = EXPERIMENT | {"name": name} | (aims or {})
    (path / "experiment.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    provenance = {
        "versions": {"python": "3.11.9", "torch": "2.15.0"},
        "git": {"revision": "0bb66e4", "dirty": False},
        "data_fingerprint": "sha256:1f2e3d",
    }
    (path / "provenance.json").write_text(json.dumps(provenance))
    rng = np.random.default_rng(7)
    rows, epochs = _explore(rng, protocol, complete, shift, explored) if explore else ([], [])
    if complete and "confirm" in phases:
        for key, (clean, robust) in _TESTED.items():
            for seed in seeds:
                rows.append(
                    _tested(path, rng, "confirm", key, seed, (clean, robust), protocol, attacks)
                )
    if "train" in phases:
        rows.append(_tested(path, rng, "train", ("train", 32), 1, (0.83, 0.6), protocol, attacks))
    write_trials(path, map(_with_objectives, rows) if aims else rows)
    write_epochs(path, epochs)
    return path


def _with_objectives(row: dict[str, Any]) -> dict[str, Any]:
    """A trial's row with t-MAP, code length and device seconds where clean MAP was measured.

    Robust MAP takes time, and t-MAP depends on the steps.
    """
    found = dict(row)
    for phase in ("val", "reattack", "test"):
        if f"metric.{phase}/clean_map" in row:
            found[f"metric.{phase}/code_length"] = row["param.model.bits"]
            spent = 60 + 1800 * (row[f"metric.{phase}/robust_map"] - 0.1) ** 2
            found[f"metric.{phase}/device_seconds"] = spent + 9.0 * row["param.defense.steps"]
            if phase != "val":
                target = 0.1 + (row["param.defense.steps"] * 37 % 11) / 20
                found[f"metric.{phase}/target_map"] = target
    return found


def _explore(
    rng: np.random.Generator, protocol: str, complete: bool, shift: float, count: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows, epochs = [], []
    statuses = ["completed", "completed", "stopped", "completed", "completed", "stopped"]
    statuses += ["failed", "stopped", "completed", "stopped", "stopped", "completed"]
    for number, planned in zip(range(count), cycle(statuses), strict=False):
        status = planned if complete or planned != "completed" else "running"
        bits = 32 if number % 2 == 0 else 16
        default = number < 2
        weight = 1.0 if default else float(10 ** rng.uniform(-1, 1))
        eps = 8 / 255 if default else float(rng.uniform(2, 16) / 255)
        robust = 0.36 + 0.11 * np.log10(weight) + 3.5 * eps + 0.02 * (bits == 32) + shift
        clean = 0.92 - 0.6 * (robust - 0.3) ** 2 - 0.03 * (bits == 16) + rng.normal(0, 0.006)
        trial_id = f"{number:010x}-explore-0"
        length = {"completed": 6, "stopped": 2, "failed": 1, "running": 3}[status]
        reached = [robust * (1 - 0.55 * np.exp(-(e + 1) / 1.6)) for e in range(length)]
        epochs += [
            {
                "trial_id": trial_id,
                "epoch": epoch + 1,
                "seconds": 4.0,
                "finished_at": _ended(number)
                - 25.0 * (status == "completed")
                - 4.0 * (length - epoch - 1),
                "metric.val/clean_map": clean - 0.01,
                "metric.val/robust_map": value + 0.03,
                "metric.train/loss": 1 / (epoch + 1),
            }
            for epoch, value in enumerate(reached)
        ]
        row: dict[str, Any] = {
            "trial_id": trial_id,
            "number": number,
            "config_hash": f"{number:064x}",
            "dataset": f"digits-{protocol}",
            "protocol_hash": protocol,
            "phase": "explore",
            "role": "default" if default else "sampled",
            "seed": 0,
            "status": status,
            "stop_reason": _why(status, number),
            "epochs": length,
            "cost_s": 20.0 + 4.5 * length,
            "host": f"node{number % 2}",
            "started_at": _ended(number) - 26.0 - 4.0 * length,
            "finished_at": _ended(number),
            **dict(zip(_STAGES, (0.5, 16.0, 2.0 * length, 20.0), strict=True)),
            "metric.val/clean_map": clean - 0.01,
            "metric.val/robust_map": reached[-1] + 0.03,
            **_parameters(bits, weight, eps, int(rng.integers(1, 11)), number),
        }
        if status == "completed":
            row |= {
                "metric.reattack/clean_map": clean,
                "metric.reattack/robust_map": robust,
                "metric.reattack/chance_map": 0.155,
                "metric.reattack/floor_map": 0.06 + 0.01 * (bits == 16),
            }
        rows.append(row)
    return rows, epochs


def _why(status: str, number: int) -> str:
    """Why a trial did not complete; the first one that was stopped was a probe."""
    if status == "stopped" and number == 2:
        return "a probe, which ends at epoch 2"
    return {"stopped": "rung 2", "failed": "loss is NaN"}.get(status, "")


def _ended(number: int) -> float:
    """When an explore trial ended; the fourth one took longer than its neighbours."""
    return 1_700_000_000.0 + 13 * (number + 5 * (number == 3))


def _parameters(bits: int, weight: float, eps: float, steps: int, number: int) -> dict[str, Any]:
    return {
        "param.model.bits": bits,
        "param.defense.lambda": weight,
        "param.defense.mu": 1e-4 * (1 + number % 90),
        "param.defense.eps": eps,
        "param.defense.steps": steps,
        "param.defense.step_size": "auto" if number % 2 else 2 / 255,
    }


def _tested(
    path: Path,
    rng: np.random.Generator,
    phase: str,
    key: tuple[str, int],
    seed: int,
    maps: tuple[float, float],
    protocol: str,
    attacks: tuple[str, ...],
) -> dict[str, Any]:
    role, bits = key
    place = 6 * (seed % 10) + [*_TESTED, ("train", 32)].index(key)
    trial_id = f"{zlib.crc32(role.encode()):08x}{bits}-{phase}-{seed}"
    folder = path / "trials" / trial_id
    folder.mkdir(parents=True)
    ap = _per_query(rng, maps, seed, attacks)
    frames = [
        pd.DataFrame({"query": np.arange(QUERIES), "attack": name, "restart": 0, "ap": values})
        for name, values in ap.items()
    ]
    pd.concat(frames, ignore_index=True).to_parquet(folder / "per_query.parquet", index=False)
    np.savez(folder / "histograms.npz", allow_pickle=False, **_histograms(rng, ap, bits))
    np.savez(folder / "examples.npz", allow_pickle=False, **_examples(rng, maps[1]))
    return {
        "trial_id": trial_id,
        "config_hash": f"{role}{bits}".ljust(64, "0"),
        "dataset": f"digits-{protocol}",
        "protocol_hash": protocol,
        "phase": phase,
        "role": role,
        "seed": seed,
        "status": "completed",
        "stop_reason": "",
        "epochs": 6,
        "cost_s": 95.0,
        "host": f"node{place % 2}",
        "started_at": 1_700_000_250.0 + 50 * place,
        "finished_at": 1_700_000_345.0 + 50 * place,
        **dict(zip(_STAGES, (0.5, 16.0, 30.0, 48.0), strict=True)),
        "metric.test/clean_map": ap["clean"].mean(),
        "metric.test/robust_map": ap["worst"].mean(),
        "metric.test/chance_map": 0.158,
        "metric.test/floor_map": 0.05,
        **{f"metric.test/map.{attack}": ap[attack].mean() for attack in attacks},
        **{f"metric.test/theory.{a}": 0.05 + 0.02 * i for i, a in enumerate(attacks)},
        **{f"metric.test/zero_grad.{attack}": 0.01 for attack in attacks},
        **_parameters(bits, 2.3 if role == "recommended" else 1.0, 8 / 255, 7, 1),
    }


def _per_query(
    rng: np.random.Generator, maps: tuple[float, float], seed: int, attacks: tuple[str, ...]
) -> dict[str, NDArray[np.float64]]:
    clean_map, robust_map = (value + 0.004 * (seed - 102) for value in maps)
    # Difficulty belongs to the query, so it is the same under every seed.
    difficulty = np.random.default_rng(3).normal(0, 0.12, QUERIES)
    ap = {"clean": np.clip(clean_map + difficulty + rng.normal(0, 0.03, QUERIES), 0, 1)}
    for i, attack in enumerate(attacks):
        noise = rng.normal(0, 0.05, QUERIES)
        ap[attack] = np.clip(robust_map + 0.03 * (i + 1) + difficulty + noise, 0, 1)
    return ap | {"worst": np.min(list(ap.values()), axis=0)}


def _histograms(
    rng: np.random.Generator, ap: dict[str, NDArray[np.float64]], bits: int
) -> dict[str, NDArray[np.int32]]:
    arrays = {}
    others = _distances(rng, np.full(QUERIES, 0.48), DATABASE - 60, bits)
    for attack in (name for name in ap if name != "worst"):
        share = np.clip(0.52 - 0.42 * (ap[attack] - 0.15) / 0.85, 0.08, 0.6)
        relevant = _distances(rng, share, 60, bits)
        arrays[f"{attack}_relevant"] = relevant.astype(np.int32)
        arrays[f"{attack}_total"] = (relevant + others).astype(np.int32)
    return arrays


def _distances(
    rng: np.random.Generator, p: NDArray[np.float64], n: int, bits: int
) -> NDArray[np.int64]:
    """Histograms (len(p), bits + 1) of the distances of n items each."""
    # Codes of one image agree or disagree in groups of bits: wider than a binomial.
    p_item = np.clip(rng.normal(p[:, None], 0.09, (len(p), n)), 0, 1)
    first = np.arange(len(p))[:, None] * (bits + 1)
    counts = np.bincount(
        (rng.binomial(bits, p_item) + first).ravel(), minlength=len(p) * (bits + 1)
    )
    return counts.reshape(len(p), bits + 1)


@cache
def _pictures() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Coloured digits (200, 3, 32, 32) and their classes."""
    digits = load_digits()
    images = np.kron(digits.images[:200] * 15, np.ones((1, 4, 4))).astype(np.uint8)
    return np.stack([images, images // 2 + 60, 255 - images], axis=1), digits.target[:200]


def _examples(rng: np.random.Generator, robust: float) -> dict[str, NDArray]:
    colour, labels = _pictures()
    chosen = rng.choice(200, 6, replace=False)
    relevant = {
        "clean_relevant": rng.random((6, 5)) < 0.9,
        "attacked_relevant": rng.random((6, 5)) < robust,
    }
    tops = {}
    for name, mask in relevant.items():
        picks = [
            [rng.choice(np.flatnonzero((labels == labels[q]) == hit)) for hit in row]
            for q, row in zip(chosen, mask, strict=True)
        ]
        tops[name.replace("relevant", "top")] = colour[np.array(picks)]
    query = colour[chosen]
    change = rng.choice([-8, 0, 8], size=query.shape)
    adversarial = np.clip(query.astype(int) + change, 0, 255).astype(np.uint8)
    arrays = {"query": query, "adversarial": adversarial, "attack": np.array("mainstay")}
    return arrays | relevant | tops

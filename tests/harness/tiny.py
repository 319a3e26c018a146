"""The smallest experiment that goes through every stage: few small digits, a second a trial."""

import os
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.configs import config_at
from harness.experiment.resolve import resolve_experiment
from harness.journal.state import config_hash
from harness.trial.interface import TrialContext, TrialSpec

TINY: dict[str, Any] = {
    "schema_version": 1,
    "name": "tiny",
    "data": {"name": "digits_mini", "image_size": 16, "val_queries": 40},
    "model": {"bits": 16},
    "pretrain": {"epochs": 2, "lr": 0.3, "batch_size": 40},
    "defense": {"epochs": 2, "steps": 1, "batch_size": 40},
    "space": {"defense.lambda": {"float": [0.1, 10.0], "log": True}},
    "search": {"num_samples": 2, "grace_period": 1, "reduction_factor": 2, "margin": 0},
    "confirm": {"max_configs": 1, "seeds": 1, "battery": "none"},
    "validation": {"steps": 1, "queries": 20},
    "evaluation": {"top_k": 100, "steps": 2, "attacks": ["mainstay", "hag"]},
    "resources": {"checkpoint_seconds": 0},
}


def tiny_raw(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The content of the file; ``changes`` maps ``section.key`` (or ``section``) to values."""
    raw = deepcopy(TINY)
    for key, value in (changes or {}).items():
        section, dot, name = key.partition(".")
        if dot:
            raw.setdefault(section, {})[name] = value
        else:
            raw[key] = value
    return raw


def tiny(changes: Mapping[str, Any] | None = None) -> Experiment:
    """The tiny experiment with changes."""
    return resolve_experiment(tiny_raw(changes), "tiny.yaml")


def context_of(experiment: Experiment, runs_dir: Path) -> TrialContext:
    """What the session would hand to its executor."""
    run_dir = runs_dir / experiment.name
    run_dir.mkdir(parents=True, exist_ok=True)
    return TrialContext(
        run_dir=str(run_dir),
        pretrained_dir=str(runs_dir / "pretrained"),
        cache_dir=os.environ["SAAT_CACHE"],
        validation=experiment.validation,
        evaluation=experiment.evaluation,
        resources=experiment.resources,
        battery=experiment.confirm.battery,
        device="cpu",
    )


def spec_of(
    experiment: Experiment,
    point: Mapping[str, Any] | None = None,
    phase: str = "explore",
    seed: int = 0,
    config: TrialConfig | None = None,
) -> TrialSpec:
    """A trial of the experiment at a point."""
    config = config or config_at(experiment, point or {})
    trial_id = f"{config_hash(config, 'data')[:10]}-{phase}-{seed}"
    return TrialSpec(trial_id, phase, "sampled", 0, seed, config)


def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of decoded images for the whole test run; digits are composed once."""
    cache = tmp_path_factory.getbasetemp() / "saat-cache"
    cache.mkdir(exist_ok=True)
    os.environ["SAAT_CACHE"] = str(cache)
    return cache

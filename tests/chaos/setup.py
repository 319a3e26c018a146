"""What a scenario is made of: the small search, the moments of faults, what they need."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.seen import Seen

ROOT = Path(__file__).parents[2]
NAME = "chaos"
# Suggestions that depend on no result (random), so that trials are the same whatever order they
# end in; some stop early; two models are pretrained.
EXPERIMENT: dict[str, Any] = {
    "schema_version": 1,
    "name": NAME,
    "seed": 3,
    "data": {"name": "digits_mini", "image_size": 16, "val_queries": 40},
    "model": {"bits": 16},
    "pretrain": {"epochs": 2, "lr": 0.3, "batch_size": 40},
    "defense": {"epochs": 3, "steps": 1, "batch_size": 40, "step_size": "auto"},
    "space": {"defense.lambda": {"float": [0.1, 10.0], "log": True}},
    "search": {
        "num_samples": 4,
        "sampler": "random",
        "grace_period": 1,
        "reduction_factor": 2,
        "margin": 0,
        "max_concurrent": 2,
    },
    "confirm": {"max_configs": 1, "seeds": 1, "battery": "none"},
    "validation": {"steps": 1, "queries": 20},
    "evaluation": {"top_k": 100, "steps": 2, "attacks": ["mainstay", "hag"]},
    # Less than two epochs: some of them are durable when a fault strikes, others only journaled.
    "resources": {"checkpoint_seconds": 0.3},
}


@dataclass(frozen=True)
class Moment:
    """When a fault strikes: ``events`` more in the journal, then ``delay`` seconds."""

    events: int
    delay: float

    def __str__(self) -> str:
        after = f"{self.events} more events" if self.events else "the start of a driver"
        return f"{after} + {self.delay:.2f} s"


@dataclass(frozen=True)
class Struck:
    """A fault that struck, and what was on the disk just before."""

    kind: str
    moment: str
    at: float
    seen: Seen


@dataclass
class Needs:
    """What the faults of a search need around it."""

    server: bool = False  # a tracking server
    disk: bool = False  # a small file system of its own for the runs
    reader: bool = False  # somebody who reads the driver's standard error, and may die
    plants: list[str] = field(default_factory=list)  # see tests.chaos.planted

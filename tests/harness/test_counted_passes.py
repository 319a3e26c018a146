"""What a dry run counts is what the same search does: passes of networks, bytes on the disk."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from harness.experiment.config import Experiment
from harness.options import Options
from harness.search.plan import fixed_trainings
from harness.session import session
from harness.session.disk import disk_needs
from harness.session.sizes import data_sizes, size_of_search
from harness.session.stage_costs import Stage, stages_given, stages_of_search
from harness.session.trial_costs import TrialCosts
from harness.trial import attempt
from saat.attacks.interface import GRADIENT_PASSES
from saat.battery import run_battery
from saat.models import HashingNetwork
from saat.work import TRAINING_STEP
from tests.harness.tiny import tiny

pytestmark = pytest.mark.lengthy


@pytest.fixture(scope="module", autouse=True)
def quick_pictures() -> None:
    """Here the size of a report counts."""


# Batches that an attack pads count as whole ones, in a battery also where the clean images pass.
BATTERY_TOLERANCE = 0.03


class PassCounter:
    """Counts F by phase and stage while trials run in this process."""

    def __init__(self) -> None:
        self.passes = Counter[tuple[str, str]]()
        self.phase, self.stage = "", ""

    def install(self, patch: pytest.MonkeyPatch) -> None:
        forward = HashingNetwork.forward

        def counted(network: HashingNetwork, images: Tensor) -> Tensor:
            features = forward(network, images)
            each = 1
            if images.requires_grad:
                each = GRADIENT_PASSES
            elif features.requires_grad:
                each = TRAINING_STEP
            self.passes[self.phase, self.stage] += each * len(images)
            return features

        patch.setattr(HashingNetwork, "forward", counted)
        patch.setattr("saat.protocol.run_battery", self.within("battery", run_battery))
        for name, stage in (("fetch_pretrained", "pretraining"), ("validate", "validation"),
                            ("evaluate", "attacks")):  # fmt: skip
            patch.setattr(attempt, name, self.within(stage, getattr(attempt, name)))
        run = attempt.TrialAttempt.run

        def run_counted(trial: attempt.TrialAttempt) -> Iterator[Any]:
            self.phase, self.stage = trial.spec.phase, "training"
            yield from run(trial)

        patch.setattr(attempt.TrialAttempt, "run", run_counted)

    def within(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            before, self.stage = self.stage, stage
            try:
                return function(*args, **kwargs)
            finally:
                self.stage = before

        return wrapped


KINDS = {
    "pretraining": "pretraining",
    "adversarial training": "training",
    "validation": "validation",
    "re-attack": "attacks",
    "test attacks": "attacks",
    "battery core": "battery",
}


# Parts of a folder of runs → what of it is planned; the report lies in the run's own folder.
PARTS = {
    "pretrained": ("pretrained models",),
    "tiny/trials": (
        "models of trials",
        "attacked images of test trials",
        "histograms and example images",
    ),
    "tiny/report": ("report",),
    "mlflow.db": ("MLflow's database",),
    "mlartifacts": ("its copies of models", "its copy of the report"),
}
DISK_FACTOR = 1.25


def planned(experiment: Experiment, plan: Any) -> dict[tuple[str, str], Stage]:
    sizes = data_sizes(experiment, None, print)
    costs = TrialCosts(experiment, sizes)
    if plan == "search":
        size = size_of_search(experiment, sizes.fingerprint, set())
        stages = stages_of_search(experiment, size, costs)
    else:
        stages = stages_given(experiment, plan, costs)
    phase = {"compare": "train"}
    return {(phase.get(s.phase, s.phase), KINDS[s.name]): s for s in stages}


def ran(
    experiment: Experiment, plan: Any, runs_dir: Path, patch: pytest.MonkeyPatch
) -> Counter[tuple[str, str]]:
    counter = PassCounter()
    with patch.context() as within:
        counter.install(within)
        session.start(experiment, Options(runs_dir, executor="inline"), plan, lambda _: None)
    return counter.passes


def test_a_search_passes_as_many_images_as_its_dry_run_counts(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = {"search.num_samples": 1, "evaluation.attacks": ["mainstay", "hag"]}
    experiment = tiny({**brief, "search.scheduler": "none"})
    stages = planned(experiment, "search")
    passes = ran(experiment, "search", runs_dir, monkeypatch)
    assert set(passes) == set(stages)
    for key, stage in stages.items():
        if key[0] == "explore":
            assert passes[key] == approx(stage.passes(), 1e-9), key  # a sum of fractions
        # Whether the sampled setting is above chance is not known beforehand.
        assert stage.passes("least") <= passes[key] * (1 + 1e-9), key
        assert passes[key] <= stage.passes("most") * (1 + 1e-9), key


def check_disk(experiment: Experiment, plan: Any, stages: Iterable[Stage], runs_dir: Path) -> None:
    """Compare what is planned for the disk with what a run has left there."""
    sizes = data_sizes(experiment, None, print)
    configs = [training.config for training in fixed_trainings(experiment, plan)]
    items = disk_needs(experiment, configs, list(stages), sizes, 1, Options(runs_dir))
    needed = {item.name: item.bytes for item in items}
    passing = {"checkpoints of trials at once", "the same while trials run"}
    for folder, names in {**PARTS, "": needed.keys() - passing}.items():
        ratio = sum(needed[name] for name in names) / written(runs_dir / folder)
        assert 1 / DISK_FACTOR < ratio < DISK_FACTOR, folder


def written(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def test_a_search_that_stops_trials_stays_between_the_bounds(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"search.num_samples": 4, "defense.epochs": 4, "evaluation.attacks": ["mainstay"]}
    experiment = tiny({**changes, "confirm.max_configs": 0, "search.sampler": "random"})
    stages = planned(experiment, "search")
    passes = ran(experiment, "search", runs_dir, monkeypatch)
    for key, stage in stages.items():
        assert stage.passes("least") <= passes[key] <= stage.passes("most"), key
    trained = stages["explore", "training"]
    assert trained.passes("least") < trained.passes() < trained.passes("most")


def test_every_defense_costs_what_the_dry_run_counts(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare: dict[str, dict[str, Any]] = {
        name: {"defense.method": name} for name in ("none", "cgat", "atrdh", "crdat")
    }
    for name in ("cgat", "atrdh", "crdat"):
        compare[name] |= {"defense.epochs": 1, "defense.steps": 3, "defense.batch_size": 50}
    attacks = ["mainstay", "vmi", "mainstay_targeted"]
    experiment = tiny({"compare": compare, "evaluation.attacks": attacks})
    stages = planned(experiment, "compare")
    passes = ran(experiment, "compare", runs_dir, monkeypatch)
    assert passes == {key: stage.passes() for key, stage in stages.items()}
    check_disk(experiment, "compare", stages.values(), runs_dir)


def test_the_battery_costs_what_the_dry_run_counts(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rectifiers hide gradients, attacks are run twice: the upper bound."""
    brief = {"defense.epochs": 1, "evaluation.attacks": ["mainstay"]}
    experiment = tiny({**brief, "confirm.battery": "core"})
    stages = planned(experiment, "train")
    stage = stages["train", "battery"]
    passes = ran(experiment, "train", runs_dir, monkeypatch)["train", "battery"]
    assert passes in (approx(stage.passes()), approx(stage.passes("most")))
    check_disk(experiment, "train", stages.values(), runs_dir)


def approx(passes: float, tolerance: float = BATTERY_TOLERANCE) -> Any:
    return pytest.approx(passes, rel=tolerance)

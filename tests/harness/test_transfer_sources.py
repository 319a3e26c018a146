"""Images made on other models, tried on this one: by full batteries, and on request."""

from pathlib import Path

import numpy as np
import pytest
import torch

from harness.__main__ import main
from harness.evaluation.models import trained_subject
from harness.trial.interface import FinalReport, trial_folder
from harness.trial.trial import run_trial
from saat.attack_runner import AttackRunner
from saat.attacks import ATTACKS
from saat.attacks.square import Square
from saat.battery import BATTERIES, Battery
from saat.data import RetrievalData
from saat.reliability import GateBudget
from saat.threat_model import ThreatModel
from saat.victim import Victim
from tests.harness.tiny import context_of, spec_of, tiny

ATTACK = ATTACKS["apgd_mainstay"](steps=2)
SMALL = Battery(
    {"apgd_mainstay": ATTACK},
    Square(steps=2),
    4,
    GateBudget(4, (1.0,), 1, (1, 2), 2),
    gates=("budget",),
)


@pytest.fixture(autouse=True)
def small_batteries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saat.protocol.BATTERIES", dict.fromkeys(BATTERIES, SMALL))


def trial(runs: Path, battery: str, method: str = "saat") -> tuple[FinalReport, Path]:
    experiment = tiny({"confirm.battery": battery})
    context = context_of(experiment, runs)
    point = {} if method == "saat" else {"defense.method": method}
    spec = spec_of(experiment, point, phase="confirm", seed=1)
    (*_, final) = run_trial(spec, context)
    assert isinstance(final, FinalReport)
    return final, trial_folder(context, spec.trial_id)


def status_of(command: list[str]) -> object:
    with pytest.raises(SystemExit) as ended:
        main(command)
    return ended.value.code


def attacked_elsewhere(source: torch.nn.Module, data: RetrievalData) -> torch.Tensor:
    victim = Victim(source, data, "test", 100)
    return AttackRunner(ThreatModel(8 / 255), seed=1).attack(victim, "source", ATTACK).images


@pytest.mark.lengthy
@pytest.mark.parametrize("battery", ["full", "exhaustive"])
def test_a_defended_model_meets_images_of_the_model_before_its_defense(
    tmp_path: Path, battery: str
) -> None:
    final, folder = trial(tmp_path, battery)
    with np.load(folder / "adversarial.npz", allow_pickle=False) as stored:
        found = torch.from_numpy(stored["transfer.undefended"])
    before, undefended = trial(tmp_path, "core", "none")
    source = trained_subject(undefended)
    other = attacked_elsewhere(source.network, source.data)
    # Seeds of starts contain the attack's name, so the images are alike and not the same.
    victim = Victim(source.network, source.data, "test", 100)
    made, here = (float(victim.ap(victim.codes(images)).mean()) for images in (found, other))
    assert made == pytest.approx(here, abs=0.03)
    assert made < victim.clean_ap.mean() - 0.03
    assert "test/map.transfer.undefended" in final.metrics
    assert not [name for name in before.metrics if "transfer" in name]


@pytest.mark.lengthy
def test_neither_core_nor_a_model_without_defense_has_such_images(tmp_path: Path) -> None:
    for battery, method in (("core", "saat"), ("full", "none")):
        final, _ = trial(tmp_path / battery, battery, method)
        assert not [name for name in final.metrics if "transfer" in name]


@pytest.mark.lengthy
def test_other_models_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, folder = trial(tmp_path, "core")
    _, other = trial(tmp_path, "core", "none")
    command = ["evaluate", str(folder), "--battery", "core", "--transfer-from", str(other)]
    assert status_of(command) == 0
    assert f"transfer.{other.name} " in capsys.readouterr().out
    assert status_of([*command, "--transfer-from", str(other / "model.safetensors")]) == 2
    assert "is named twice" in capsys.readouterr().err
    assert status_of([*command[:-1], str(tmp_path)]) == 2

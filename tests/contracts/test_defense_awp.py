"""AWP: which weights are moved, how far, in which direction, and that they come back."""

from typing import Any

import pytest
import torch

from saat.data import RetrievalData
from saat.defenses import SaatTraining
from saat.defenses.awp import AwpSettings
from saat.models import HashingNetwork
from tests import toy
from tests.contracts.defense_runs import settings_of, state, training

GAMMA = 0.02


def test_without_a_radius_or_before_its_epoch_it_is_saat(
    trained: HashingNetwork, data: RetrievalData
) -> None:
    plain = training("saat", trained, data)
    plain.run_epoch()
    neutral: list[dict[str, Any]] = [{"gamma": 0.0}, {"perturb_from": 0.5}]
    for changes in neutral:
        run = training("awp", trained, data, **changes)
        run.stage = plain.stage  # which seeds are derived from
        run.run_epoch()
        assert not toy.differences(state(plain), state(run))
    perturbed = training("awp", trained, data)
    perturbed.stage = plain.stage
    perturbed.run_epoch()
    assert toy.differences(state(plain), state(perturbed))


def test_the_gradient_is_taken_at_the_perturbed_weights_and_the_step_from_the_old_ones(
    trained: HashingNetwork, data: RetrievalData, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Any = training("awp", trained, data, gamma=GAMMA, weight_decay=0.0)
    run.set_mode()
    names = dict(run.network.named_parameters())
    before = {name: part.detach().clone() for name, part in names.items()}
    within: dict[str, torch.Tensor] = {}
    slopes: dict[str, torch.Tensor] = {}
    outer = SaatTraining.outer_loss

    def looked_at(self: Any, images: Any, attacked: Any, labels: Any, index: Any) -> Any:
        within.update({name: part.detach().clone() for name, part in names.items()})
        with torch.no_grad():
            for name, part in names.items():
                part.copy_(before[name])
        relaxed = torch.tanh(run.network(attacked))
        guides = self.mainstay.of_rows(index)
        loss = -(relaxed * guides).mean() + 1e-4 * (relaxed - relaxed.sign()).square().mean()
        slopes.update(zip(names, torch.autograd.grad(loss, list(names.values())), strict=True))
        with torch.no_grad():
            for name, part in names.items():
                part.copy_(within[name])
        return outer(self, images, attacked, labels, index)

    monkeypatch.setattr(SaatTraining, "outer_loss", looked_at)
    run.step(torch.arange(32), 0.1)
    for name, part in names.items():
        if part.dim() == 1:
            assert torch.equal(within[name], before[name])
        else:
            v = GAMMA * before[name].norm() * slopes[name] / slopes[name].norm()
            torch.testing.assert_close(within[name] - before[name], v, rtol=1e-2, atol=1e-6)
        torch.testing.assert_close(part.detach(), before[name] - 0.1 * part.grad)


def test_it_begins_in_its_share_of_the_epochs_and_costs_a_step_more_there() -> None:
    settings = settings_of("awp", epochs=5, perturb_from=0.5, steps=7)
    assert isinstance(settings, AwpSettings)
    assert settings.first_epoch == 3
    saat = settings_of("saat", steps=7).epoch_work.passes
    assert saat == 20
    assert settings.epoch_work.passes == pytest.approx(saat + 3 * 2 / 5)

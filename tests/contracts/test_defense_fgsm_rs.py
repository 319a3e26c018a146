"""FGSM-RS: one step of 1.25 ε; otherwise SAAT."""

import pytest

from saat.data import RetrievalData
from saat.defenses.fgsm_rs import FgsmRsSettings
from saat.models import HashingNetwork
from tests import toy
from tests.contracts.defense_runs import settings_of, state, training


def test_it_is_saat_with_one_step_of_five_quarters_of_the_radius(
    trained: HashingNetwork, data: RetrievalData
) -> None:
    run = training("fgsm_rs", trained, data, eps=12 / 255)
    same = training("saat", trained, data, eps=12 / 255, steps=1, step_size=1.25 * 12 / 255)
    same.stage = run.stage  # which seeds are derived from
    for each in (run, same):
        each.run_epoch()
    assert not toy.differences(state(run), state(same))


def test_it_has_one_step_and_costs_two_fifths_of_saat() -> None:
    assert FgsmRsSettings(step_size=0.01).inner_step == 0.01
    saat = settings_of("saat", steps=7).epoch_work.passes
    assert FgsmRsSettings().epoch_work.passes == pytest.approx(0.4 * saat)

"""Validation by few forward passes: the same numbers as the plain evaluation."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from saat.attacks import MainstayAttack
from saat.metrics import Phase
from saat.models import HashingNetwork, codes_of, encode
from saat.protocol import Protocol, evaluate, validate
from saat.seeding import derive_seed
from saat.victim import Victim
from tests import toy

DATA = toy.toy_data()
PROTOCOL = Protocol({"mainstay": MainstayAttack(steps=3, rescale=True)}, top_k=40)
ALL = DATA.validation_database


@pytest.fixture(scope="module")
def network() -> HashingNetwork:
    return toy.pretrained(DATA)


def features(network: nn.Module, rows: np.ndarray) -> Tensor:
    return encode(network, lambda part: DATA.batch(rows[part]), len(rows))


@given(st.integers(1, 200), st.integers(1, 200))
def test_a_part_is_the_same_draw_and_lies_within_every_larger_one(one: int, other: int) -> None:
    drawn = np.random.Generator(np.random.PCG64(derive_seed("validation part")))
    order = drawn.permutation(len(ALL))
    plain = [row for place, row in enumerate(ALL) if place in order[:one]]
    assert DATA.validation_part(one).tolist() == plain
    smaller, larger = (DATA.validation_part(n).tolist() for n in sorted((one, other)))
    assert set(smaller) <= set(larger)


def test_all_rows_give_what_the_plain_evaluation_gives(network: HashingNetwork) -> None:
    plain = evaluate(network, DATA, PROTOCOL, "validation", seed=3, limit=20)
    for searched in (None, ALL):
        found = validate(network, DATA, PROTOCOL, searched, None, 3, 20)
        ours, theirs = (e.metrics(Phase.VALIDATION) for e in (found, plain))
        assert set(ours) == {"clean_map", "robust_map", "zero_grad", "code_length"}
        assert ours == pytest.approx(theirs, abs=1e-9)


@given(st.lists(st.integers(0, len(DATA.database) - 1), min_size=1, max_size=150))
def test_training_rows_that_are_searched_are_not_encoded_again(picked: list[int]) -> None:
    """Whatever part is searched, a row that it has twice included."""
    searched, network = DATA.database[picked], toy.toy_network()
    victim = Victim(network, DATA, "validation", 1, limit=2, searched=searched)
    assert torch.equal(victim.knowledge.train_codes, codes_of(features(network, DATA.train)))
    expected = features(network, DATA.train).abs().median(0).values
    assert victim.knowledge.feature_scale == pytest.approx(expected, rel=1e-4)


def counted(network: HashingNetwork, *arguments: Any) -> int:
    """Images that pass a network without gradients while it is validated."""
    passed = 0

    def count(_: nn.Module, given: tuple[Tensor]) -> None:
        nonlocal passed
        passed += 0 if torch.is_grad_enabled() else len(given[0])

    handle = network.register_forward_pre_hook(count)
    validate(network, DATA, PROTOCOL, *arguments)
    handle.remove()
    return passed


def test_only_what_is_not_known_is_encoded(network: HashingNetwork) -> None:
    part = DATA.validation_part(60)
    outside = int((~np.isin(DATA.train, part)).sum())
    assert 0 < outside < len(DATA.train)
    codes = codes_of(features(network, DATA.train))
    plain, spared, known = (
        counted(network, *given) for given in ((None, None), (part, None), (part, codes))
    )
    assert plain - spared == len(ALL) - 60 + len(DATA.train) - outside
    assert spared - known == outside


def test_known_codes_are_what_the_attack_aims_by(network: HashingNetwork) -> None:
    part, codes = DATA.validation_part(60), codes_of(features(network, DATA.train))
    victim = Victim(network, DATA, "validation", 40, searched=part, train_codes=codes)
    assert torch.equal(victim.knowledge.train_codes, codes)
    assert torch.equal(victim.database_codes, codes_of(features(network, part)))
    scale = features(network, part).abs().median(0).values
    assert victim.knowledge.feature_scale == pytest.approx(scale, rel=1e-4)
    # Other codes are another aim.
    theory = [
        validate(network, DATA, PROTOCOL, part, given).attacks["mainstay"].theory_ap.mean()
        for given in (codes, -codes)
    ]
    assert theory[0] < theory[1]


def test_validation_computes_no_perceptibility(
    network: HashingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Tensor) -> dict[str, float]:
        raise AssertionError("nobody reads it")

    monkeypatch.setattr("saat.victim.perceptibility", refused)
    found = validate(network, DATA, PROTOCOL, limit=4)
    assert found.metrics(Phase.VALIDATION)["robust_map"] >= 0
    with pytest.raises(AssertionError, match="nobody reads it"):
        found.metrics(Phase.REATTACK)


def test_a_ranking_deeper_than_the_part_is_refused(network: HashingNetwork) -> None:
    deep = replace(PROTOCOL, top_k=61)
    with pytest.raises(ValueError, match="61"):
        validate(network, DATA, deep, DATA.validation_part(60))

"""Every registered attack: its budget, its independence of batches, its manners."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saat.attacks import (
    ATTACKS,
    Attack,
    Knowledge,
    Queries,
    TrainingImages,
    attack_queries,
    frozen,
)
from saat.attacks.query_batches import AttackedQueries
from saat.data import RetrievalData
from saat.labels import draw_target_labels
from saat.models import HashingNetwork, build_network, codes_of, encode, evaluating
from saat.protocol_options import Norm
from saat.retrieval import average_precision
from saat.threat_model import ThreatModel
from tests import toy

EPS = 8 / 255

# Options with which an attack is tested, where the published ones would take long.
FAST_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "si_ni": {"scales": 3},
    "vmi": {"neighbours": 2},
    "tha": {"prototype_steps": 30, "prototype_batch": 16},
    "prosgan": {
        "prototype_steps": 30,
        "prototype_batch": 16,
        "epochs": 10,
        "width": 8,
        "reconstruction": 5.0,
    },
    "tta_gan": {"anchor_steps": 50, "epochs": 10, "width": 8, "reconstruction": 1.0},
    "all_points": {"epochs": 10, "width": 8, "reconstruction": 1.0},
    "ss_tuaa": {"updates": 60},
    "multi_target": {"targets": 2},
}

# What an attack does to anything but images does not depend on how much it has learned.
BRIEF_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    **FAST_OPTIONS,
    "tha": {"prototype_steps": 2, "prototype_batch": 16},
    "prosgan": {"prototype_steps": 2, "prototype_batch": 16, "epochs": 1, "width": 8},
    "tta_gan": {"anchor_steps": 2, "epochs": 1, "width": 8},
    "all_points": {"epochs": 1, "width": 8},
    "ss_tuaa": {"updates": 2},
}

# Of the queries, where what is tested holds for each: one more than networks take at once.
SOME = 33

# They knew no ball when they learned, so only a wide one shows what they can do.
GENERATORS = {"prosgan", "tta_gan", "all_points"}
# Learned in the ball that they attack in.
LEARNED_IN_THE_BALL = {"ss_tuaa"}
# They take no steps at attack time, and do not look at the network.
LEARNED_IMAGES = GENERATORS | LEARNED_IN_THE_BALL

# Steps are queries without gradients, of which it takes more to get as far.
BLACK_BOX_STEPS = {"square": 20, "rank_only": 100}


# Compared by identity: what an attack learned about one setting is kept for it.
@dataclass(frozen=True, eq=False)
class Setting:
    """A network, its queries, and what an attacker knows."""

    network: nn.Module
    images: Tensor
    labels: Tensor
    target_labels: Tensor
    knowledge: Knowledge
    train: TrainingImages

    @classmethod
    def of(cls, network: nn.Module, data: RetrievalData) -> "Setting":
        train, train_labels = data.batch(data.train), data.label_tensor(data.train)
        features = encode(network, lambda part: train[part], len(train))
        # Test and validation together: 64 queries and a few more, so that the last batch is odd.
        rows = [*data.test, *data.validation, *data.train[:6]]
        labels = data.label_tensor(rows)
        targets = draw_target_labels(labels, train_labels, torch.Generator().manual_seed(0))
        knowledge = Knowledge.of(features, train_labels)
        training = TrainingImages(train_labels, lambda positions: train[positions])
        return cls(network, data.batch(rows), labels, targets, knowledge, training)

    def codes(self, images: Tensor) -> Tensor:
        return toy.codes(self.network, images)

    def representatives(self, attack: Attack) -> Tensor:
        labels = self.target_labels if attack.targeted else self.labels
        return attack.representatives(self.knowledge, labels, self.codes(self.images))

    def queries(self, attack: Attack, count: int | None = None) -> Queries:
        labels = self.target_labels if attack.targeted else self.labels
        images, benign = self.images[:count], self.codes(self.images)[:count]
        representatives = self.representatives(attack)[:count]
        return Queries(images, labels[:count], benign, representatives, range(len(images)))

    def attacked(
        self,
        attack: Attack,
        eps: float = EPS,
        batch_size: int = 128,
        count: int | None = None,
        norm: Norm = "linf",
    ) -> AttackedQueries:
        threat = ThreatModel(eps, norm)
        queries = self.queries(attack, count)
        return attack_queries(attack, self.network, queries, self.knowledge, threat, batch_size)

    def success(self, attack: Attack, codes: Tensor) -> Tensor:
        """What the attack makes large, per query: t-AP, or minus AP if it is untargeted."""
        labels = self.target_labels if attack.targeted else self.labels
        database = self.knowledge.database_codes, self.knowledge.database_labels
        ap = average_precision(codes, labels, *database, 50)
        return ap if attack.targeted else -ap


def learned(
    name: str,
    setting: Setting,
    options: Mapping[str, Mapping[str, Any]] = FAST_OPTIONS,
    eps: float = EPS,
) -> Attack:
    """An attack that has learned what it needs, anew."""
    attack = ATTACKS[name](**options.get(name, {}))
    with evaluating(setting.network), frozen(setting.network):
        return attack.fit(
            setting.network, setting.train, setting.knowledge, ThreatModel(eps), seed=0
        )


kept = cache(learned)


def prepared(name: str, setting: Setting, eps: float = EPS, **options: Any) -> Attack:
    """An attack ready to run, with ``options`` that only matter after :meth:`Attack.fit`."""
    learned_in = eps if name in LEARNED_IN_THE_BALL else EPS
    return replace(kept(name, setting, eps=learned_in), **options)


@pytest.fixture(scope="module")
def setting(trained: HashingNetwork, data: RetrievalData) -> Setting:
    return Setting.of(trained, data)


every_attack = pytest.mark.parametrize("name", ATTACKS)


def largest_change(setting: Setting, attacked: AttackedQueries) -> int:
    benign = setting.images[: len(attacked.images)]
    change = attacked.images.to(torch.int16) - benign.to(torch.int16)
    return int(change.abs().max())


@every_attack
@pytest.mark.parametrize(("eps", "levels"), [(8 / 255, 8), (2.7 / 255, 2), (0.4 / 255, 0)])
def test_bytes_stay_within_the_budget(name: str, eps: float, levels: int, setting: Setting) -> None:
    attacked = setting.attacked(prepared(name, setting, steps=5), eps=eps, count=SOME)
    assert attacked.images.dtype == torch.uint8
    assert attacked.images.shape == setting.images[:SOME].shape
    assert largest_change(setting, attacked) == levels  # the ball is used up to its rim, too


@every_attack
@pytest.mark.parametrize(("norm", "eps"), [("l2", 1.0), ("l1", 4.0)])
def test_bytes_stay_within_the_other_balls(
    name: str, norm: Norm, eps: float, setting: Setting
) -> None:
    attack = prepared(name, setting, steps=10)
    attacked = setting.attacked(attack, eps=eps, norm=norm, count=SOME).images
    size = ThreatModel(eps, norm).size(attacked, setting.images[:SOME])
    assert float(size.max()) <= eps * (1 + 1e-6)
    assert float(size.median()) > 0.5 * eps  # and use most of it
    unmoved = setting.attacked(attack, eps=0.0, norm=norm, count=3).images
    assert torch.equal(unmoved, setting.images[:3])


@every_attack
def test_floats_stay_within_the_ball_and_the_image_range(name: str, setting: Setting) -> None:
    attack = prepared(name, setting, steps=3)
    # Black and white images: half of every step leads out of the range.
    queries = setting.queries(attack, 8).batch(torch.arange(8), torch.device("cpu"))
    images = queries.images.round()
    threat = ThreatModel(EPS)
    result = attack.perturb(
        setting.network, queries._replace(images=images), setting.knowledge, threat
    )
    assert float(result.images.min()) >= 0
    assert float(result.images.max()) <= 1
    assert float((result.images - images).abs().max()) <= EPS + 1e-6
    assert result.zero_gradient.shape == (8,)
    assert not result.images.requires_grad


@every_attack
def test_a_ball_of_radius_zero_changes_nothing(name: str, setting: Setting) -> None:
    attacked = setting.attacked(prepared(name, setting, steps=3), eps=0.0)
    assert torch.equal(attacked.images, setting.images)


@every_attack
def test_equal_seeds_give_equal_images(name: str, setting: Setting) -> None:
    attack = prepared(name, setting, steps=3)
    first, second = setting.attacked(attack), setting.attacked(attack)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.zero_gradient, second.zero_gradient)


@every_attack
def test_the_global_random_state_plays_no_part_and_is_left_alone(
    name: str, setting: Setting
) -> None:
    torch.manual_seed(0)
    first = setting.attacked(replace(learned(name, setting, BRIEF_OPTIONS), steps=2))
    assert torch.equal(torch.get_rng_state(), torch.manual_seed(0).get_state())
    torch.manual_seed(99)
    again = setting.attacked(replace(learned(name, setting, BRIEF_OPTIONS), steps=2))
    assert torch.equal(again.images, first.images)


@every_attack
def test_the_batch_size_never_changes_a_result(name: str, setting: Setting) -> None:
    attack = prepared(name, setting, steps=4)
    whole = setting.attacked(attack, batch_size=SOME, count=SOME)
    for batch_size in (1, 7):
        parts = setting.attacked(attack, batch_size=batch_size, count=SOME)
        assert torch.equal(parts.images, whole.images)
        assert torch.equal(parts.zero_gradient, whole.zero_gradient)
        assert torch.equal(setting.codes(parts.images), setting.codes(whole.images))


@every_attack
def test_the_batch_size_changes_no_rounding_where_kernels_differ(name: str) -> None:
    """32 pixels, the size at which unpadded batches of one differ from larger ones."""
    network = build_network("small_cnn", "none", 16, 32, seed=0)
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (33, 3, 32, 32), dtype=torch.uint8, generator=drawn)
    codes = torch.randint(0, 2, (33, 16), generator=drawn) * 2 - 1
    labels = torch.ones(33, 2, dtype=torch.uint8)
    train = TrainingImages(labels, lambda positions: images[positions])
    knowledge = Knowledge.of(torch.randn(33, 16, generator=drawn), labels)
    setting = Setting(network, images, labels, labels, knowledge, train)
    attack = replace(learned(name, setting, BRIEF_OPTIONS), steps=6)
    widths: list[int] = []
    network.register_forward_pre_hook(lambda _, args: widths.append(len(args[0])))

    def attacked(rows: slice) -> Tensor:
        chosen = codes[rows]
        queries = Queries(images[rows], labels[rows], chosen, chosen, range(33)[rows])
        return attack_queries(attack, network, queries, knowledge, ThreatModel(EPS)).images

    whole = attacked(slice(None))
    for row in (0, 15, 32):
        assert torch.equal(attacked(slice(row, row + 1)), whole[row : row + 1])
    assert {width % 32 for width in widths} == (set() if name in LEARNED_IMAGES else {0})


@every_attack
def test_a_query_alone_gets_what_it_gets_among_others(name: str, setting: Setting) -> None:
    attack = prepared(name, setting, steps=4)
    whole = setting.attacked(attack)
    for count in (1, 3):
        assert torch.equal(setting.attacked(attack, count=count).images, whole.images[:count])


@every_attack
def test_no_queries_give_no_images(name: str, setting: Setting) -> None:
    attacked = setting.attacked(prepared(name, setting, steps=2), count=0)
    assert attacked.images.shape == (0, 3, toy.SIZE, toy.SIZE)
    assert attacked.zero_gradient.shape == (1, 0)


def aim(setting: Setting, attack: Attack, images: Tensor) -> float:
    """Mean share of bits on which the codes of ``images`` have reached the attack's goal."""
    goal = attack.goal(setting.representatives(attack))
    return float((setting.codes(images) == goal).float().mean())


def interval_of_mean(values: Tensor) -> tuple[float, float]:
    """95 % bootstrap interval over the queries."""
    drawn = torch.Generator().manual_seed(0)
    rows = torch.randint(len(values), (1000, len(values)), generator=drawn)
    means = values[rows].mean(1)
    return float(means.quantile(0.025)), float(means.quantile(0.975))


@pytest.mark.lengthy
@every_attack
def test_an_attack_moves_codes_and_more_steps_are_at_least_as_strong(
    name: str, setting: Setting
) -> None:
    # A perturbation for all queries of a target gets less far in a narrow ball.
    eps = 64 / 255 if name in GENERATORS else 24 / 255 if name in LEARNED_IN_THE_BALL else EPS
    short, long = (
        prepared(name, setting, eps, steps=steps * BLACK_BOX_STEPS.get(name, 1))
        for steps in (1, 50)
    )
    one, many = (setting.attacked(attack, eps).images for attack in (short, long))
    benign = aim(setting, long, setting.images)
    assert aim(setting, long, many) > benign + 0.1
    assert aim(setting, long, many) >= aim(setting, long, one) - 0.02
    gained = [setting.success(long, setting.codes(images)) for images in (many, one)]
    assert interval_of_mean(gained[0] - gained[1])[1] >= 0


@pytest.mark.lengthy
@every_attack
def test_a_larger_ball_is_at_least_as_strong(name: str, setting: Setting) -> None:
    attack = prepared(name, setting, steps=10)
    reached = [aim(setting, attack, setting.attacked(attack, eps=e / 255).images) for e in (1, 24)]
    assert reached[1] > reached[0]


@every_attack
def test_the_goal_is_the_code_an_attack_without_bounds_would_reach(
    name: str, setting: Setting
) -> None:
    attack = prepared(name, setting)
    codes = setting.representatives(attack)
    assert codes.shape == (len(setting.images), toy.BITS)
    assert set(codes.unique().tolist()) <= {-1.0, 1.0}
    assert torch.equal(attack.goal(codes), codes if attack.targeted else -codes)


@every_attack
@pytest.mark.parametrize("mode", ["train", "eval", "mixed"])
def test_the_network_is_left_as_it_was(name: str, mode: str, data: RetrievalData) -> None:
    network = toy.toy_network(seed=5)
    network.train(mode != "eval")
    if mode == "mixed":  # batch statistics frozen, as in adversarial training
        network.code_norm.eval()
    frozen = network.backbone.body[0].weight  # type: ignore[union-attr, index]
    frozen.requires_grad_(False)
    modes = [module.training for module in network.modules()]
    grads = [parameter.requires_grad for parameter in network.parameters()]
    before = toy.snapshot(network)

    setting = Setting.of(network, data)
    setting.attacked(replace(learned(name, setting, BRIEF_OPTIONS), steps=2), count=5)

    assert not toy.differences(before, toy.snapshot(network))
    assert [module.training for module in network.modules()] == modes
    assert [parameter.requires_grad for parameter in network.parameters()] == grads
    assert all(parameter.grad is None for parameter in network.parameters())


class Interrupted(Exception):
    pass


class Fails(nn.Sequential):
    def forward(self, images: Tensor) -> Tensor:
        raise Interrupted


@every_attack
def test_the_network_is_left_as_it_was_even_by_a_failure(name: str, setting: Setting) -> None:
    network = Fails(nn.Linear(1, 1)).train()
    attack = prepared(name, setting, steps=1)
    with nullcontext() if name in LEARNED_IMAGES else pytest.raises(Interrupted):
        attack_queries(
            attack, network, setting.queries(attack), setting.knowledge, ThreatModel(EPS)
        )
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())


@every_attack
def test_progress_ends_at_the_number_of_queries(name: str, setting: Setting) -> None:
    seen: list[tuple[int, int]] = []
    attack = prepared(name, setting, steps=1)
    count = len(setting.images)
    attack_queries(
        attack,
        setting.network,
        setting.queries(attack),
        setting.knowledge,
        ThreatModel(EPS),
        batch_size=32,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(32, count), (64, count), (count, count)]


@pytest.mark.lengthy
@every_attack
def test_a_wide_ball_leads_well_past_clean_retrieval_and_so_does_the_goal(
    name: str, setting: Setting
) -> None:
    """MAP falls; the t-MAP of targeted attacks rises."""
    eps = (64 if name in GENERATORS else 24) / 255
    attack = prepared(name, setting, eps, steps=20 * BLACK_BOX_STEPS.get(name, 1))
    attacked = setting.attacked(attack, eps)
    clean, reached, goal = (
        float(setting.success(attack, codes).mean())
        for codes in (
            setting.codes(setting.images),
            setting.codes(attacked.images),
            codes_of(attack.goal(setting.representatives(attack))),
        )
    )
    assert reached > clean + 0.1
    assert goal > clean + 0.1

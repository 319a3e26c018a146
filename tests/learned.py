"""The setting in which attacks that learn are tested: toy data, what is known of them, targets."""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from saat.attacks import Attack, Knowledge, Queries, TrainingImages, attack_queries
from saat.attacks.query_batches import AttackedQueries
from saat.labels import draw_target_labels
from saat.models import codes_of, encode, evaluating
from saat.retrieval import mean_average_precision
from saat.threat_model import ThreatModel
from tests import toy

Fitted = TypeVar("Fitted", bound=Attack)

DATA = toy.toy_data()
ROWS = np.concatenate([DATA.test, DATA.validation, DATA.train[:6]])  # 70: the last batch is odd
IMAGES, LABELS = DATA.batch(ROWS), DATA.label_tensor(ROWS)
TRAIN = TrainingImages(
    DATA.label_tensor(DATA.train), lambda index: DATA.batch(DATA.train[index.numpy()])
)
DATABASE_LABELS = DATA.label_tensor(DATA.database)
TARGETS = draw_target_labels(LABELS, DATABASE_LABELS, torch.Generator().manual_seed(0))
CPU = torch.device("cpu")


# Label vectors that are wanted, and those of codes.
PAIRS = {
    "some of both": ([[1, 0, 0], [0, 1, 1]], [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]),
    "a row without positives": ([[1, 0, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 0], [0, 0, 0]]),
    "a row without negatives": ([[1, 1, 1], [0, 1, 0]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    "a row without labels": ([[0, 0, 0], [1, 0, 0]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    "no positives at all": ([[1, 0, 0]], [[0, 1, 0], [0, 0, 1]]),
    "no negatives at all": ([[1, 1, 0]], [[1, 0, 0], [0, 1, 0]]),
}


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1


def signs(*shape: int, seed: int = 0) -> Tensor:
    return torch.where(draw(*shape, seed=seed) >= 0, 1.0, -1.0).double()


def known(network: nn.Module) -> Knowledge:
    train = encode(network, lambda part: DATA.batch(DATA.train[part]), len(DATA.train))
    database = encode(network, lambda part: DATA.batch(DATA.database[part]), len(DATA.database))
    return Knowledge.of(train, TRAIN.labels, (codes_of(database), DATABASE_LABELS))


def fitted(attack: Fitted, network: nn.Module, knowledge: Knowledge, seed: int = 0) -> Fitted:
    with evaluating(network):  # not frozen: the attack itself keeps its hands off
        found = attack.fit(network, TRAIN, knowledge, ThreatModel(8 / 255), seed)
    assert isinstance(found, type(attack))
    return found


def target_map(codes: Tensor, knowledge: Knowledge) -> float:
    """t-MAP of the queries that have a target."""
    asked = TARGETS.sum(1) > 0
    against = (knowledge.database_codes, knowledge.database_labels)
    return float(mean_average_precision(codes[asked], TARGETS[asked], *against, 40))


def guides(attack: Attack, knowledge: Knowledge) -> Tensor:
    return attack.representatives(knowledge, TARGETS, torch.zeros(len(TARGETS), toy.BITS))


def attacked(
    attack: Attack, network: nn.Module, knowledge: Knowledge, eps: float
) -> AttackedQueries:
    aims = guides(attack, knowledge)
    queries = Queries(IMAGES, TARGETS, toy.codes(network, IMAGES), aims, range(70))
    return attack_queries(attack, network, queries, knowledge, ThreatModel(eps))

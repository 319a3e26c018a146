"""Models trained on the digits as the quickstart does, and the battery on them."""

import copy
from functools import cache

from torch import nn

from saat.attack_runner import AttackRunner
from saat.battery import BATTERIES, run_battery
from saat.data import RetrievalData
from saat.defenses import SaatSettings, SaatTraining
from saat.evaluation import Evaluation
from saat.hashing import OBJECTIVES
from saat.models import HashingNetwork, build_network
from saat.pretrain import Pretraining, PretrainSettings
from saat.threat_model import ThreatModel
from saat.training import Training
from saat.victim import Victim

RUNNER = AttackRunner(ThreatModel(8 / 255))
BITS, TOP_K = 32, 1000
QUERIES = 250  # half of the test queries; the gates and the claims below do not need them all


@cache
def digits() -> RetrievalData:
    return RetrievalData.named("digits", image_size=32, val_queries=300)


@cache
def model(defense: str, seed: int) -> HashingNetwork:
    """As in the quickstart."""
    data = digits()
    objective = OBJECTIVES["dph"](data.label_tensor(data.train), BITS, seed)
    training: Training
    if defense == "saat":
        network = copy.deepcopy(model("none", seed))
        inner = SaatSettings(epochs=8, step_size="auto")
        training = SaatTraining(network, objective, data, inner, seed)
    else:
        network = build_network("small_cnn", "none", BITS, 32, seed)
        settings = PretrainSettings(epochs=20, lr=0.3)
        training = Pretraining(network, objective, data, settings, seed)
    while not training.finished:
        training.run_epoch()
    return network.eval()


def victim_of(network: nn.Module, limit: int = QUERIES) -> Victim:
    return Victim(network, digits(), "test", TOP_K, limit=limit)


@cache
def core(network: nn.Module, limit: int = QUERIES) -> Evaluation:
    return run_battery(victim_of(network, limit), RUNNER, BATTERIES["core"])


def failed(result: Evaluation) -> set[str]:
    return {verdict.name for verdict in result.gate_results if not verdict.passed}

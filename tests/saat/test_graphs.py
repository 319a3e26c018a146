"""The inner maximisation as a CUDA graph against the same attack step by step."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from saat.attacks import frozen
from saat.attacks.pgd import pgd
from saat.errors import InputError
from saat.graphs import GraphedAttack
from saat.models import HashingNetwork
from saat.precision import computing
from saat.threat_model import ThreatModel
from tests import toy

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICE = torch.device("cuda")
THREAT, STEPS, STEP_SIZE, ROWS = ThreatModel(8 / 255), 7, 2 / 255, 32
SHAPE = (ROWS, 3, toy.SIZE, toy.SIZE)


def _network(dropout: float) -> HashingNetwork:
    network = toy.toy_network().to(DEVICE).eval()
    network.hash_layer = nn.Sequential(nn.Dropout(dropout), network.hash_layer)  # type: ignore[assignment]
    network.hash_layer.train()
    return network


def _batch(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, codes, and a start."""
    torch.manual_seed(seed)
    images = torch.rand(SHAPE, device=DEVICE).contiguous(memory_format=torch.channels_last)
    codes = torch.randn(ROWS, toy.BITS, device=DEVICE).sign()
    return images, codes, images + torch.empty_like(images).uniform_(-THREAT.eps, THREAT.eps)


def _step_by_step(network: nn.Module, images: Tensor, codes: Tensor, start: Tensor) -> Tensor:
    with frozen(network):
        return pgd(
            network,
            images,
            lambda features, _: (torch.tanh(features) * codes).mean(1),
            THREAT,
            STEPS,
            STEP_SIZE,
            start,
            count_zeros=False,
        ).images


def _assert_same(found: Tensor, expected: Tensor) -> None:
    """Equal up to rounding: a gradient next to 0 may have either sign in single pixels."""
    assert ((found - expected).abs() < 1e-5).float().mean() > 0.99


def _graph(network: nn.Module) -> GraphedAttack:
    return GraphedAttack(partial(_step_by_step, network), *_batch(99))


def test_a_cpu_has_no_graphs() -> None:
    with pytest.raises(InputError, match="needs CUDA; the batch is on cpu"):
        GraphedAttack(partial(_step_by_step, toy.toy_network()), torch.zeros(SHAPE))


@needs_gpu
def test_a_graph_attacks_every_batch_as_pgd_does_with_the_weights_of_the_moment() -> None:
    network = _network(dropout=0.0)
    with computing("fp32", DEVICE):
        graph = _graph(network)
        for seed in range(3):
            batch = _batch(seed)
            _assert_same(graph(*batch), _step_by_step(network, *batch))
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))


@needs_gpu
def test_dropout_draws_anew_on_every_replay_and_from_the_seed() -> None:
    network, batch = _network(dropout=0.5), _batch(0)
    attack = partial(_step_by_step, network)
    state = torch.cuda.get_rng_state()
    with computing("fp32", DEVICE):
        graph = GraphedAttack(attack, *batch)
        assert torch.equal(torch.cuda.get_rng_state(), state)
        torch.manual_seed(1)
        first, second = graph(*batch), graph(*batch)
        torch.manual_seed(1)
        _assert_same(graph(*batch), first)
        torch.manual_seed(1)
        _assert_same(_step_by_step(network, *batch), first)
    assert ((first - second).abs() > 1e-5).float().mean() > 0.01


@needs_gpu
def test_a_result_outlives_the_next_replay_and_other_shapes_are_refused() -> None:
    with computing("fp32", DEVICE):
        graph = _graph(_network(dropout=0.0))
        first = graph(*_batch(0))
        kept = first.clone()
        graph(*_batch(1))
        assert torch.equal(first, kept)
        with pytest.raises(ValueError, match="batch of shape"):
            graph(*(tensor[:1] for tensor in _batch(0)))

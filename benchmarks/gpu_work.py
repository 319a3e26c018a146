"""The work that ``python -m benchmarks.gpu`` measures, on random images and random weights."""

import math
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing.synchronize import Barrier
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from saat.attacks import Knowledge, MainstayAttack, Queries, attack_queries, frozen
from saat.attacks.pgd import pgd
from saat.data import RetrievalData
from saat.defenses import SaatSettings, SaatTraining
from saat.graphs import GraphedAttack
from saat.hashing import OBJECTIVES
from saat.models import (
    HashingNetwork,
    build_network,
    encode,
    evaluating,
    network_structure,
    to_float,
)
from saat.precision import Precision, computing
from saat.threat_model import ThreatModel

BITS = 32
CLASSES = 21
REPEATS = 5
# The published inner maximisation. The learning rate is so low that random weights stay finite.
SETTINGS = SaatSettings(epochs=100_000, lr=1e-9)
THREAT = ThreatModel(SETTINGS.eps)
MEETING_SECONDS = 120


@dataclass(frozen=True)
class Sizes:
    """How much of everything.

    Attributes:
        products: sides of the square matrices that are multiplied.
        copied: bytes of the copy that measures the memory bandwidth.
        backbones: the first one is attacked and shared by two processes.
        pixels: side of an image.
        batch: images in a training step.
        training_steps: SAAT steps in a measurement.
        queries: queries attacked at once.
        attack_steps: T of that attack.
        encoded: images that are encoded in a measurement.
        encoding_batch: images in a forward pass of the encoding.
        seconds: least duration of a measurement.
        trial_seconds: least duration of a measurement of processes.
    """

    products: tuple[int, ...] = (4096, 6144, 8192)
    copied: int = 4 * 1024**3
    backbones: tuple[str, ...] = ("alexnet", "vgg16", "resnet50")
    pixels: int = 224
    batch: int = 32
    training_steps: int = 4
    queries: int = 128
    attack_steps: int = 100
    encoded: int = 4000
    encoding_batch: int = 250
    seconds: float = 0.05
    trial_seconds: float = 5.0


TOY = Sizes(
    products=(64,),
    copied=1024**2,
    backbones=("small_cnn",),
    pixels=32,
    batch=8,
    training_steps=2,
    queries=32,
    attack_steps=5,
    encoded=64,
    encoding_batch=16,
    seconds=0.0,
    trial_seconds=0.2,
)


def timed(work: Callable[[], object], device: torch.device, least: float = 0.0) -> list[float]:
    """Seconds of a call in each of :data:`REPEATS` measurements of at least ``least`` seconds.

    The first call chooses kernels and is not counted.
    """

    def measurement(calls: int) -> float:
        wait_for(device)
        started = time.perf_counter()
        for _ in range(calls):
            work()
        wait_for(device)
        return (time.perf_counter() - started) / calls

    measurement(1)
    calls = max(1, math.ceil(least / measurement(1)))
    return [measurement(calls) for _ in range(REPEATS)]


def wait_for(device: torch.device) -> None:
    """Wait until the device has done everything that it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def one_thread_on(device: torch.device) -> None:
    """On a CPU, use one thread: the threads of two processes would wait for each other."""
    if device.type == "cpu":
        torch.set_num_threads(1)


class Flops(NamedTuple):
    """Floating-point operations per image; a multiplication and an addition are two.

    Attributes:
        forward: a forward pass.
        attack: a forward pass, and a backward pass to the input alone.
        training: a forward pass, and a backward pass to the weights alone.
    """

    forward: float
    attack: float
    training: float


@cache
def flops(backbone: str, pixels: int) -> Flops:
    """Counted from the shapes by :mod:`torch.utils.flop_counter`; nothing is computed."""
    network = network_structure(backbone, "none", BITS)
    images = torch.empty(2, 3, pixels, pixels, device="meta")

    def counted(work: Callable[[], object]) -> float:
        with FlopCounterMode(display=False) as counter:
            work()
        total: int = counter.get_total_flops()
        return total / len(images)

    def both() -> None:
        network(images).sum().backward()

    forward, training = counted(lambda: network(images)), counted(both)
    images.requires_grad_(True)
    with frozen(network):
        return Flops(forward, counted(both), training)


@cache
def network_on(device: torch.device, backbone: str, pixels: int) -> HashingNetwork:
    """A network with random weights, in evaluation mode until a training changes that."""
    return build_network(backbone, "none", BITS, pixels, 0).to(device).eval()


def random_bytes(count: int, pixels: int) -> Tensor:
    """Images uint8 (count, 3, pixels, pixels) in host memory."""
    return torch.randint(0, 256, (count, 3, pixels, pixels), dtype=torch.uint8)


def random_codes(count: int, device: torch.device) -> Tensor:
    """±1 codes (count, BITS)."""
    return torch.randint(0, 2, (count, BITS), device=device).float() * 2 - 1


def random_labels(count: int) -> Tensor:
    """0/1 labels (count, CLASSES), one label an image."""
    return torch.eye(CLASSES)[torch.arange(count) % CLASSES]


def product(side: int, precision: Precision, device: torch.device, least: float) -> list[float]:
    """Seconds of a product of two square matrices."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = torch.randn(2, side, side, device=device, dtype=dtype)
    return timed(lambda: left @ right, device, least)


def copy(size: int, device: torch.device, least: float) -> list[float]:
    """Seconds of a copy of ``size`` bytes within the device's memory."""
    source = torch.ones(size // 4, device=device)
    target = torch.zeros_like(source)
    return timed(lambda: target.copy_(source), device, least)


def pgd_step(sizes: Sizes, backbone: str, device: torch.device, graphed: bool) -> list[float]:
    """Seconds of one step of the inner PGD."""
    network = network_on(device, backbone, sizes.pixels)
    images = to_float(random_bytes(sizes.batch, sizes.pixels), device)
    codes = random_codes(sizes.batch, device)
    steps, step_size = SETTINGS.steps, SETTINGS.inner_step

    def attacked(images: Tensor, codes: Tensor) -> Tensor:
        def loss(features: Tensor, _: int) -> Tensor:
            return SaatTraining.inner_loss(features, codes)

        return pgd(network, images, loss, THREAT, steps, step_size, count_zeros=not graphed).images

    with evaluating(network), frozen(network):
        run = GraphedAttack(attacked, images, codes) if graphed else attacked
        found = timed(lambda: run(images, codes), device, sizes.seconds)
    return [seconds / steps for seconds in found]


def saat_training(sizes: Sizes, backbone: str, device: torch.device, graphed: bool) -> SaatTraining:
    """A training whose epochs have ``sizes.training_steps`` steps."""
    count = sizes.batch * sizes.training_steps
    pair = random_bytes(count, sizes.pixels), random_labels(count)
    data = RetrievalData.from_tensors(train=pair, test=(pair[0][:1], pair[1][:1]))
    objective = OBJECTIVES["dph"](data.label_tensor(data.train), BITS, 0).to(device)
    network = network_on(device, backbone, sizes.pixels)
    settings = SaatSettings(epochs=SETTINGS.epochs, lr=SETTINGS.lr, batch_size=sizes.batch)
    training = SaatTraining(network, objective, data, settings, 0)
    if graphed:
        training.graphs = training.has_graphs
    return training


def saat_step(sizes: Sizes, backbone: str, device: torch.device, graphed: bool) -> list[float]:
    """Seconds of a whole SAAT step: PGD-7, and the outer step on clean and attacked images."""
    training = saat_training(sizes, backbone, device, graphed)
    epochs = timed(training.run_epoch, device, sizes.seconds)
    return [seconds / sizes.training_steps for seconds in epochs]


def attack(sizes: Sizes, backbone: str, device: torch.device) -> list[float]:
    """Seconds a query of the mainstay attack, restarts and rounding to bytes included."""
    network = network_on(device, backbone, sizes.pixels)
    count = sizes.queries
    images, labels, codes = (
        random_bytes(count, sizes.pixels), random_labels(count), random_codes(count, device)
    )  # fmt: skip
    knowledge = Knowledge.of(codes, labels)
    queries = Queries(images, labels, codes, -codes, range(count))
    mainstay = MainstayAttack(steps=sizes.attack_steps)

    def attacked() -> object:
        return attack_queries(mainstay, network, queries, knowledge, THREAT, count)

    return [seconds / count for seconds in timed(attacked, device, sizes.seconds)]


def encoding(sizes: Sizes, backbone: str, device: torch.device) -> list[float]:
    """Seconds an image of encoding images from host memory."""
    network = network_on(device, backbone, sizes.pixels)
    images = random_bytes(sizes.encoded, sizes.pixels)

    def encoded() -> Tensor:
        return encode(network, lambda rows: images[rows], len(images), sizes.encoding_batch)

    return [seconds / len(images) for seconds in timed(encoded, device, sizes.seconds)]


def trials(
    sizes: Sizes, backbone: str, device: torch.device, precision: Precision, processes: int
) -> list[float]:
    """Seconds of a SAAT step in each of some processes that train at the same time."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    with ProcessPoolExecutor(processes, context, _set_barrier, (barrier,)) as pool:
        work = (sizes, backbone, device, precision)
        running = [pool.submit(_trial, *work) for _ in range(processes)]
        return [seconds for trial in running for seconds in trial.result()]


_barrier: Barrier  # of the processes that start together


def _set_barrier(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _trial(sizes: Sizes, backbone: str, device: torch.device, precision: Precision) -> list[float]:
    one_thread_on(device)
    with computing(precision, device):
        training = saat_training(sizes, backbone, device, graphed=False)
        training.run_epoch()
        wait_for(device)
        _barrier.wait(MEETING_SECONDS)
        found: list[float] = []
        end = time.perf_counter() + sizes.trial_seconds
        while time.perf_counter() < end or len(found) < REPEATS:
            started = time.perf_counter()
            training.run_epoch()
            wait_for(device)
            found.append((time.perf_counter() - started) / sizes.training_steps)
    return found

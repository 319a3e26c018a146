"""PGD and a training step against bare loops, on one core: ``python -m benchmarks.steps``.

A bare loop is what one would write by hand for one network: bounds computed once, batch norm
folded into the layers, no counts, no checks. Both compute the same; PGD is measured on folded
networks, and the SAAT step folds in every batch. Process time of interleaved
calls, since the machine may have other work: medians, and the quartiles of ours.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional as F

from benchmarks.kernels import BITS, SETS, Rows
from benchmarks.measure import interleaved, peak_mebibytes
from saat.attacks.interface import Knowledge
from saat.attacks.objectives import SAMPLED_RELEVANT, SmoothAP
from saat.attacks.pgd import pgd
from saat.attacks.query_batches import frozen
from saat.codes import sign
from saat.data import RetrievalData
from saat.defenses.saat import SaatSettings, SaatTraining
from saat.hashing import OBJECTIVES
from saat.labels import LabelGroups
from saat.mainstay import MainstayCodes, group_coefficients
from saat.models import HashingNetwork, build_network, folded
from saat.seeding import generator
from saat.threat_model import ThreatModel

EPS, STEP, STEPS = 8 / 255, 2 / 255, 7
LAMBDA, MU, LR = 1.0, 1e-4, 0.05
# backbone, side of the images, batch size, training rows, repeats
SIZES = (
    ("small_cnn", 32, 32, 5000, 60),
    ("small_cnn", 32, 128, 5000, 20),
    ("resnet18", 64, 8, 500, 5),
    ("alexnet", 224, 8, 100, 5),
)

Features = Callable[[Tensor], Tensor]


class Batch(NamedTuple):
    """Float images (B, 3, H, W), codes ±1 (B, K), and where PGD starts."""

    images: Tensor
    codes: Tensor
    start: Tensor

    @classmethod
    def drawn(cls, count: int, side: int) -> "Batch":
        """Random images and codes, and a uniform start."""
        draws = generator("steps", count, side)
        images = torch.rand(count, 3, side, side, generator=draws)
        images = images.contiguous(memory_format=torch.channels_last)
        noise = torch.rand(images.shape, generator=draws).mul_(2 * EPS).sub_(EPS)
        return cls(images, sign(torch.randn(count, BITS, generator=draws)), images + noise)


def bare_network(network: HashingNetwork, backbone: str) -> Features:
    """The network in evaluation mode, its weights folded by hand, or by torch.fx."""
    if backbone == "small_cnn":
        return bare_small_cnn(network)
    net = cast(Any, network.backbone).net
    net = fuse(net) if any(isinstance(m, nn.BatchNorm2d) for m in net.modules()) else net
    hash_layer = nn.utils.fuse_linear_bn_eval(network.hash_layer, cast(Any, network.code_norm))
    hash_layer.requires_grad_(False)
    shift, scale = -network.mean / network.std, 1 / network.std
    return lambda images: hash_layer(net(torch.addcmul(shift, images, scale)))


@torch.no_grad()
def bare_small_cnn(network: HashingNetwork) -> Features:
    """``small_cnn`` at 32 px as four products."""

    def scale(norm: Any) -> Tensor:
        found: Tensor = norm.weight / (norm.running_var + norm.eps).sqrt()
        return found

    parts: Any = network.backbone
    body, head, norm = parts.body, parts.head, cast(Any, network.code_norm)
    s1, s2, s3, s4 = map(scale, (body[1], body[4], head[2], norm))
    w1 = body[0].weight * s1.view(-1, 1, 1, 1) / network.std
    b1 = body[1].bias - body[1].running_mean * s1 - (w1 * network.mean).sum((1, 2, 3))
    w1 = w1.permute(2, 3, 1, 0).reshape(48, -1).contiguous()
    w2 = (body[3].weight * s2.view(-1, 1, 1, 1)).contiguous(memory_format=torch.channels_last)
    b2 = body[4].bias - body[4].running_mean * s2
    w3, b3 = head[1].weight * s3[:, None], head[2].bias - head[2].running_mean * s3
    w4 = network.hash_layer.weight * s4[:, None]
    b4 = (network.hash_layer.bias - norm.running_mean) * s4 + norm.bias

    def features(images: Tensor) -> Tensor:
        patches = images.permute(0, 2, 3, 1).reshape(-1, 8, 4, 8, 4, 3).transpose(2, 3)
        hidden = torch.addmm(b1, patches.reshape(-1, 48), w1).relu_()
        hidden = hidden.view(-1, 8, 8, 40).permute(0, 3, 1, 2)
        hidden = F.conv2d(hidden, w2, b2, stride=2, padding=1).relu_()
        return F.linear(F.linear(hidden.flatten(1), w3, b3).relu_(), w4, b4)

    return features


def bare_pgd(features: Features, batch: Batch) -> Tensor:
    """PGD-7 on (1/K) bᵀ tanh f."""
    low, high = (batch.images - EPS).clamp_(0), (batch.images + EPS).clamp_(max=1)
    point = torch.clamp(batch.start, low, high)
    for _ in range(STEPS):
        point.requires_grad_(True)
        loss = (torch.tanh(features(point)) * batch.codes).mean(1).sum()
        (gradient,) = torch.autograd.grad(loss, point)
        point = torch.clamp(point.detach().sub_(gradient.sign_(), alpha=STEP), low, high)
    return point


def our_pgd(network: nn.Module, batch: Batch) -> Tensor:
    """The same by the library; ``network`` is folded, as once an attack."""
    with frozen(network):
        return pgd(
            network,
            batch.images,
            lambda features, _: (torch.tanh(features) * batch.codes).mean(1),
            ThreatModel(EPS),
            STEPS,
            STEP,
            batch.start,
            count_zeros=False,
        ).images


def our_training(network: HashingNetwork, rows: Rows, images: Tensor, batch: int) -> SaatTraining:
    """SAAT of random images."""
    data = RetrievalData.from_tensors(
        train=(images, rows.labels), test=(images[:2], rows.labels[:2])
    )
    objective = OBJECTIVES["dph"](rows.labels, BITS, 0)
    settings = SaatSettings(batch_size=batch, lr=LR, lambda_=LAMBDA, mu=MU)
    training = SaatTraining(network, objective, data, settings, 0)
    training.set_mode()
    return training


class BareTraining:
    """A SAAT step by hand, around the same network, in the state of ``training``."""

    def __init__(
        self, network: HashingNetwork, backbone: str, training: SaatTraining, images: Tensor
    ) -> None:
        self.network, self.backbone, self.images = network.eval(), backbone, images
        for module in network.modules():
            module.training = isinstance(module, nn.Dropout)
        self.labels = training.train_labels
        groups = LabelGroups.of(self.labels)
        self.index = groups.index
        self.coefficients = group_coefficients(groups.vectors, groups, "saat")
        self.codes = training.mainstay.codes.clone()
        self.sums = groups.sums(self.codes)
        self.memory = cast(Any, training.objective).memory.clone()
        self.optimiser = torch.optim.SGD(network.parameters(), lr=LR, weight_decay=1e-5)

    def step(self, index: Tensor) -> None:
        """One batch of training rows ``index`` (B,)."""
        images = self.images[index].float() / 255
        images = images.contiguous(memory_format=torch.channels_last)
        group, labels = self.index[index], self.labels[index]
        coefficients = self.coefficients[group]
        start = images + torch.empty_like(images).uniform_(-EPS, EPS)
        self.network.requires_grad_(False)
        features = bare_network(self.network, self.backbone)
        attacked = bare_pgd(features, Batch(images, sign(coefficients @ self.sums).float(), start))
        self.network.requires_grad_(True)
        features, attacked = self.network(torch.cat([images, attacked])).chunk(2)
        codes = sign(features.detach()).to(torch.int8)
        self.sums.index_add_(0, group, codes.double() - self.codes[index].double())
        self.codes[index] = codes
        mainstay = sign(coefficients @ self.sums).float()
        relaxed, attacked = torch.tanh(features), torch.tanh(attacked)
        self.memory[index] = relaxed.detach()
        similar = (labels @ self.labels.T > 0.5).float()
        original = (relaxed @ self.memory.T / BITS - (2 * similar - 1)).square().mean()
        quantised = (attacked - sign(attacked.detach())).square().mean()
        loss = original - LAMBDA * (attacked * mainstay).mean() + MU * quantised
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


class Timed(NamedTuple):
    """Quartiles of a call, in seconds of process time."""

    low: float
    median: float
    high: float


def quartiles(works: Sequence[Callable[[], object]], repeats: int) -> list[Timed]:
    """Those of each call's process time."""
    found = interleaved(works, repeats, time.process_time)
    return [Timed(t[len(t) // 4], t[len(t) // 2], t[3 * len(t) // 4]) for t in found]


def report(what: str, ours: Timed, plain: Timed | None, unit: str) -> None:
    """One line: quartiles of ours, the median of the other, ratio."""
    low, median, high = (1e3 * value for value in ours)
    line = f"{what:<38}{median:9.2f} ms ({low:.2f} to {high:.2f})"
    if plain is not None:
        line = f"{line:<72}{1e3 * plain.median:9.2f} ms{ours.median / plain.median:7.2f}×"
    print(f"{line:<92}  {unit}", flush=True)


def step_benchmark(backbone: str, side: int, size: int, count: int, repeats: int) -> None:
    """PGD-7 and the SAAT step of one network."""
    batch, network = Batch.drawn(size, side), build_network(backbone, "none", BITS, side, 0).eval()
    with frozen(network):
        plain = bare_network(network, backbone)
        fast = folded(network)
        pair = [lambda: our_pgd(fast, batch), lambda: bare_pgd(plain, batch)]
        ours_bare = quartiles(pair, repeats)
    unit = f"a batch of {size}"
    report(f"PGD-7, {backbone}, {side} px", ours_bare[0], ours_bare[1], unit)
    draws = generator("rows", count)
    rows = Rows.drawn(count, *SETS["FLICKR-25K"][2:], draws)
    images = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=draws)
    other = build_network(backbone, "none", BITS, side, 0)
    ours = our_training(network, rows, images, size)
    bare = BareTraining(other, backbone, our_training(other, rows, images, size), images)

    def index() -> Tensor:
        return torch.randperm(count)[:size]

    steps = [lambda: ours.step(index(), LR), lambda: bare.step(index())]
    ours_bare = quartiles(steps, repeats)
    report(f"SAAT step, {backbone}, {side} px", ours_bare[0], ours_bare[1], unit)


def starts_benchmark() -> None:
    """Random starts, and the draws of SmoothAP at the size of MS-COCO."""
    threat = ThreatModel(EPS)
    for size, side in ((128, 32), (32, 224)):
        images = Batch.drawn(size, side).images
        seeds = range(size)
        (found,) = quartiles([partial(threat.random_start, images, seeds)], 10)
        report(f"random starts, {side} px", found, None, f"a batch of {size}")
    _, size, classes, mean = SETS["MS-COCO"]
    draws = generator("smooth AP")
    database, query = Rows.drawn(size, classes, mean, draws), Rows.drawn(32, classes, mean, draws)
    knowledge = Knowledge.of(database.codes.float(), database.labels)
    seeds = range(len(query.labels))
    (found,) = quartiles([partial(SmoothAP.estimated, query.labels, knowledge, seeds)], 5)
    report(f"SmoothAP, {SAMPLED_RELEVANT}+ of {size} rows", found, None, "32 queries")


def mainstay_benchmark() -> None:
    """A batch of mainstay codes of many more rows than the protocols have."""
    for count in (10_000, 100_000):
        rows = Rows.drawn(count, *SETS["MS-COCO"][2:], generator("many", count))
        before = peak_mebibytes()
        mainstay, index = MainstayCodes(*rows), torch.arange(32)
        (found,) = quartiles([partial(mainstay.of_rows, index)], 10)
        what, grown = f"mainstay codes, {count} rows", peak_mebibytes() - before
        report(what, found, None, f"a batch of 32; memory grew by {grown:.0f} MiB")


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"{'one core, torch ' + torch.__version__:<38}{'ours (quartiles)':>20}{'bare':>28}")
    mainstay_benchmark()  # first: its memory is what the peak grows by
    for sizes in SIZES:
        step_benchmark(*sizes)
    starts_benchmark()


if __name__ == "__main__":
    main()

"""How ProS-GAN, TTA-GAN and the all-points attack train a generator on a frozen hashing network."""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from saat.attacks.generator_networks import Discriminator, Generator
from saat.attacks.interface import Knowledge, TrainingImages
from saat.models import to_float
from saat.optimisers import Adam
from saat.prototype import BETAS, LEARNING_RATE, target_vectors
from saat.seeding import drawing_from, generator
from saat.training import TrainingFailed

if TYPE_CHECKING:
    from saat.attacks.generator_attack import GeneratorAttack

# The generator moves in every step, the discriminator in the first of every so many.
DISCRIMINATOR_EVERY = 3


def fooling_loss(judged: Tensor, goal: Tensor) -> Tensor:
    """MSE(D(x'), [target, 0]): the discriminator is to see a real image of the target label.

    ``judged`` is D(x') (B, C + 1), ``goal`` the target labels, float 0/1 (B, C).
    """
    return mse_loss(judged, _with_last(goal, 0.0))


def discriminator_loss(real: Tensor, labels: Tensor, adversarial: Tensor, goal: Tensor) -> Tensor:
    """½ MSE(D(x), [label, 0]) + ½ MSE(D(x'), [target, 1]) (LSGAN).

    ``real`` is D(x) and ``adversarial`` D(x') (B, C + 1); labels are float 0/1 (B, C).
    """
    fooled = mse_loss(adversarial, _with_last(goal, 1.0))
    return (mse_loss(real, _with_last(labels, 0.0)) + fooled) / 2


def _with_last(labels: Tensor, value: float) -> Tensor:
    return torch.cat([labels, labels.new_full((len(labels), 1), value)], dim=1)


def rate_at(epoch: int, epochs: int) -> float:
    """Share of the learning rate in ``epoch`` (from 0): 1 in the first half, then a line to 0."""
    constant = -(-epochs // 2)
    return 1 - max(0, epoch + 1 - constant) / (epochs - constant + 1)


class GeneratorTraining:
    """Adam 1e-4 (.5, .999) on w·MSE(x', x) + the code's loss + what fools the discriminator.

    Targets are drawn from the label vectors of the database. The victim gives the gradient of its
    input and keeps everything else: only the parameters of generator and discriminator receive
    gradients. ``seed`` is that of weights, order and targets.
    """

    def __init__(
        self,
        victim: nn.Module,
        attack: "GeneratorAttack",
        train: TrainingImages,
        knowledge: Knowledge,
        seed: int,
    ) -> None:
        self.victim, self.attack, self.train = victim, attack, train
        self.knowledge, self.seed = knowledge, seed
        self.device = knowledge.train_codes.device
        self.targets = target_vectors(knowledge.database_labels)
        size, classes = train.images(torch.tensor([0])).shape[-1], self.targets.shape[1]
        with torch.no_grad():
            inputs = attack.describe(self.targets[:1]).shape[1]
        self.discriminator: Discriminator | None = None
        with drawing_from(attack.name, seed):
            self.generator = Generator(size, attack.width, inputs).to(self.device)
            if attack.fooling:
                told = classes if attack.tells_labels else 0
                self.discriminator = Discriminator(size, told, attack.width).to(self.device)
        trained = [net for net in (self.generator, self.discriminator) if net is not None]
        self._optimisers = [
            Adam(net.parameters(), lr=LEARNING_RATE, betas=BETAS) for net in trained
        ]

    def run_epoch(self, epoch: int) -> float:
        """One pass in a seeded order; the generator's mean loss, finite or ``TrainingFailed``."""
        name, rate = self.attack.name, LEARNING_RATE * rate_at(epoch, self.attack.epochs)
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
        draws = generator(f"{name} epoch", self.seed, epoch)
        order = torch.randperm(len(self.train.labels), generator=draws)
        total = torch.zeros((), device=self.device)
        batches = order.split(self.attack.batch_size)
        for step, index in enumerate(batches):
            chosen = torch.randint(len(self.targets), (len(index),), generator=draws)
            goal = self.targets[chosen.to(self.device)]
            total += self.step(index, goal, step % DISCRIMINATOR_EVERY == 0, draws)
        if not math.isfinite(float(total)):
            raise TrainingFailed(f"{name}: the loss is {float(total)} in epoch {epoch + 1}")
        return float(total) / len(batches)

    def step(self, index: Tensor, goal: Tensor, both: bool, draws: torch.Generator) -> Tensor:
        """One update of the generator, before it of the discriminator if ``both``; its loss.

        ``index`` are int64 (B,) numbers of training images, ``goal`` (B, C) the labels of their
        targets, and ``draws`` random numbers of the attack. The loss is a scalar.
        """
        attack, critic = self.attack, self.discriminator
        images = 2 * to_float(self.train.images(index), self.device) - 1
        with torch.no_grad():
            described = attack.describe(goal)
        adversarial = self.generator(images, described)
        if critic is not None and both:
            labels = self._told(self.train.labels[index].float().to(self.device))
            judged = critic(images), labels, critic(adversarial.detach()), self._told(goal)
            update(self._optimisers[1], attack.fooling * discriminator_loss(*judged))
        close = mse_loss(adversarial, images)
        seen = [self.victim(one) for one in attack.views((adversarial + 1) / 2, draws)]
        codes = [attack.code_loss(features, goal, self.knowledge) for features in seen]
        loss = attack.reconstruction * close + torch.stack(codes).mean()
        if critic is not None:
            loss = loss + attack.fooling * fooling_loss(critic(adversarial), self._told(goal))
        update(self._optimisers[0], loss)
        return loss.detach()

    def _told(self, labels: Tensor) -> Tensor:
        """Of 0/1 labels (B, C) those that the discriminator has to tell."""
        return labels if self.attack.tells_labels else labels[:, :0]


def update(optimiser: Adam, loss: Tensor) -> None:
    """One step of ``optimiser``; no other parameter receives a gradient."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    optimiser.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters)
    optimiser.step()

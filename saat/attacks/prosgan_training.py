"""ProS-GAN's game: a generator against a discriminator and a frozen hashing network."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from saat.attacks.interface import Knowledge, TrainingImages
from saat.attacks.prosgan_networks import Discriminator, Generator, LabelledPrototypeNet
from saat.codes import sign
from saat.models import to_float
from saat.optimisers import Adam
from saat.prototype import BETAS, LEARNING_RATE, target_vectors
from saat.seeding import drawing_from, generator
from saat.settings import option
from saat.training import TrainingFailed

CODE_WEIGHT = 5.0
# The generator moves in every step, the discriminator in the first of every so many.
DISCRIMINATOR_EVERY = 3


@dataclass(frozen=True)
class GeneratorSettings:
    """Options of the game; the learning rate falls linearly in the second half of the epochs."""

    reconstruction: float = option(
        50.0, ge=0, le=1e6, help="weight of the squared error; FLICKR-25K 100"
    )
    epochs: int = option(100, ge=1, le=100_000, help="passes over the training images")
    batch_size: int = option(24, ge=1, le=65_536, help="training images per step")
    width: int = option(64, ge=8, le=1024, help="channels of the networks' first convolutions")


def generator_loss(
    adversarial: Tensor,
    images: Tensor,
    features: Tensor,
    codes: Tensor,
    judged: Tensor,
    goal: Tensor,
    reconstruction: float,
) -> Tensor:
    """w·MSE(x', x) + 5·(1 − mean(tanh(f)·b)) + MSE(D(x'), [target, 0]).

    The last term wants the discriminator to see a real image of the target label. Images x', x are
    (B, 3, H, H) in [−1, 1], ``features`` f of x' and prototype codes b (B, K), ``judged`` is D(x')
    (B, C + 1), ``goal`` the target labels, float 0/1 (B, C), and ``reconstruction`` w.
    """
    code = CODE_WEIGHT * (1 - (torch.tanh(features) * codes).mean())
    fooled = mse_loss(judged, _with_last(goal, 0.0))
    return reconstruction * mse_loss(adversarial, images) + code + fooled


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
    """Adam 1e-4 (.5, .999) for generator and discriminator; targets drawn from the database.

    The victim gives the gradient of its input and keeps everything else: only the parameters of
    generator and discriminator receive gradients. ``seed`` is that of weights, order and targets.
    """

    def __init__(
        self,
        victim: nn.Module,
        prototypes: LabelledPrototypeNet,
        train: TrainingImages,
        knowledge: Knowledge,
        settings: GeneratorSettings,
        seed: int,
    ) -> None:
        self.victim, self.prototypes, self.train = victim, prototypes, train
        self.settings, self.seed = settings, seed
        self.device = knowledge.train_codes.device
        self.targets = target_vectors(knowledge.database_labels)
        size, classes = train.images(torch.tensor([0])).shape[-1], self.targets.shape[1]
        with drawing_from("prosgan", seed):
            self.generator = Generator(size, settings.width).to(self.device)
            self.discriminator = Discriminator(size, classes, settings.width).to(self.device)
        self._optimisers = [
            Adam(network.parameters(), lr=LEARNING_RATE, betas=BETAS)
            for network in (self.generator, self.discriminator)
        ]

    def run_epoch(self, epoch: int) -> float:
        """One pass in a seeded order; the mean loss of the generator.

        Raises:
            TrainingFailed: it is not finite.
        """
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * rate_at(epoch, self.settings.epochs)
        draws = generator("prosgan epoch", self.seed, epoch)
        order = torch.randperm(len(self.train.labels), generator=draws)
        total = torch.zeros((), device=self.device)
        batches = order.split(self.settings.batch_size)
        for step, index in enumerate(batches):
            chosen = torch.randint(len(self.targets), (len(index),), generator=draws)
            goal = self.targets[chosen.to(self.device)]
            total += self._step(index, goal, step % DISCRIMINATOR_EVERY == 0)
        if not math.isfinite(float(total)):
            raise TrainingFailed(f"prosgan: the loss is {float(total)} in epoch {epoch + 1}")
        return float(total) / len(batches)

    def _step(self, index: Tensor, goal: Tensor, both: bool) -> Tensor:
        images = 2 * to_float(self.train.images(index), self.device) - 1
        with torch.no_grad():
            features = self.prototypes.features(goal)
            codes = sign(self.prototypes.hashing(features))
        adversarial = self.generator(images, features)
        if both:
            labels = self.train.labels[index].float().to(self.device)
            real, fake = self.discriminator(images), self.discriminator(adversarial.detach())
            _update(self._optimisers[1], discriminator_loss(real, labels, fake, goal))
        attacked = self.victim((adversarial + 1) / 2)
        judged, weight = self.discriminator(adversarial), self.settings.reconstruction
        loss = generator_loss(adversarial, images, attacked, codes, judged, goal, weight)
        _update(self._optimisers[0], loss)
        return loss.detach()


def _update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of ``optimiser``; no other parameter receives a gradient."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    optimiser.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters)
    optimiser.step()

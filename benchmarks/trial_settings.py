"""What both sides of ``benchmarks.trial`` compute: the data, the network, epochs and steps."""

from dataclasses import dataclass

from saat.precision import Precision

# Radius of the ball of trainings and attacks.
EPS = 8 / 255


@dataclass(frozen=True)
class Size:
    """FLICKR-25K's protocol on few images, with a twentieth of the published epochs.

    Attributes:
        backbone: name; its weights are random.
        side: of the images, in pixels.
        train: training images, all in the database.
        searched: database images that queries search.
        queries: validation queries, which a search's trial attacks.
        classes: of drawn photographs.
        bits: code length.
        batch: images a step, and queries at once of the plain way.
        pretrain_epochs: of DPH.
        pretrain_lr: of DPH.
        epochs: of SAAT, each with a validation.
        lr: of SAAT.
        inner_steps: of PGD in training.
        val_steps: of the attack after every epoch.
        steps: of the mainstay attack and of HAG in the end.
        precision: of our trainings (``resources.precision``); all attacks and codes are fp32.
    """

    backbone: str = "alexnet"
    side: int = 224
    train: int = 64
    searched: int = 256
    queries: int = 32
    classes: int = 24
    bits: int = 32
    batch: int = 32
    pretrain_epochs: int = 5
    pretrain_lr: float = 0.01
    epochs: int = 1
    lr: float = 0.05
    inner_steps: int = 7
    val_steps: int = 10
    steps: int = 10
    precision: Precision = "fp32"

    @property
    def test(self) -> int:
        """Test images, which every data set must have and no trial of a search attacks."""
        return self.queries

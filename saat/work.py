"""Work in forward passes of one image (F), the unit that plans are made in."""

from dataclasses import dataclass, fields

# F of a training step on one image: forward pass, and backward pass to images and parameters.
TRAINING_STEP = 3


@dataclass(frozen=True)
class Work:
    """F by kind; the kinds differ in what a device needs for them.

    Attributes:
        encoding: forward passes alone.
        attack: input gradients for queries, :data:`saat.attacks.interface.GRADIENT_PASSES` F each.
        inner: the same for training images, in the smaller batches of a training.
        training: steps of a training, :data:`TRAINING_STEP` F an image.
    """

    encoding: float = 0.0
    attack: float = 0.0
    inner: float = 0.0
    training: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        """Both."""
        return Work(*(mine + theirs for mine, theirs in zip(self.parts, other.parts, strict=True)))

    def __mul__(self, times: float) -> "Work":
        """The same so many times."""
        return Work(*(part * times for part in self.parts))

    @property
    def parts(self) -> tuple[float, ...]:
        """F of every kind, in the order of the fields."""
        return tuple(getattr(self, kind) for kind in KINDS)

    @property
    def passes(self) -> float:
        """F of all kinds together."""
        return sum(self.parts)


KINDS = tuple(item.name for item in fields(Work))

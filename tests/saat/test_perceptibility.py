import numpy as np
import pytest
import torch

from saat.perceptibility import perceptibility
from tests import reference


@pytest.mark.parametrize("count", [1, 5, 300])
def test_figures_equal_the_plain_formulas(count: int) -> None:
    drawn = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 3, 4, 5), dtype=torch.uint8, generator=drawn)
    moved = torch.randint(0, 256, (count, 3, 4, 5), dtype=torch.uint8, generator=drawn)
    expected = reference.perceptibility(images.numpy(), moved.numpy())
    assert perceptibility(images, moved) == pytest.approx(expected, rel=1e-10)
    assert expected["matrix_linf"] > expected["linf"]  # the published ∞ is no pixel norm


def test_no_change_and_no_images_are_zero() -> None:
    images = torch.full((2, 3, 4, 4), 7, dtype=torch.uint8)
    assert set(perceptibility(images, images).values()) == {0.0}
    assert set(perceptibility(images[:0], images[:0]).values()) == {0.0}


def test_bytes_do_not_wrap_around() -> None:
    dark = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    bright = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    for pair in ((dark, bright), (bright, dark)):
        assert perceptibility(*pair)["linf"] == 1.0
        assert perceptibility(*pair)["l2"] == pytest.approx(np.sqrt(3))

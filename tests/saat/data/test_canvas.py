import numpy as np
import pytest

from saat.data.canvas import compose

INK = np.ones((3, 8, 8), dtype=np.float32)


def painted(count: int, size: int, seed: int) -> np.ndarray:
    """bool (size, size): where digits changed the background of the same generator."""
    image = compose(INK[:count], size, np.random.default_rng(seed))
    empty = compose(INK[:0], size, np.random.default_rng(seed))
    assert image.dtype == np.uint8
    assert image.shape == (3, size, size)
    difference: np.ndarray = np.abs(image.astype(int) - empty).max(axis=0) > 80
    return difference


@pytest.mark.parametrize("size", [16, 32, 64])
def test_a_digit_stands_out_and_takes_its_share_of_the_canvas(size: int) -> None:
    for seed in range(20):
        rows, columns = np.nonzero(painted(1, size, seed))
        height = (rows.max() - rows.min() + 1) / size
        width = (columns.max() - columns.min() + 1) / size
        assert min(height, width) >= 0.35
        assert max(height, width) <= 0.65


def test_three_digits_mostly_stay_apart() -> None:
    areas = [painted(3, 32, seed).mean() for seed in range(40)]
    assert np.mean(areas) > 0.55  # three boxes of 13 to 18 px on 32 cover 0.7 without overlap


def test_equal_generators_give_equal_images() -> None:
    images = [compose(INK, 32, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])

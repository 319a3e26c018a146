"""Compose grey 8×8 digits on a colour canvas."""

import numpy as np
from PIL import Image

# Each digit has its own quadrant. With digits anywhere, 2,000 training images would not suffice for
# a network that trains in seconds.
_SMALLEST, _LARGEST = 14 / 32, 16 / 32  # side of a digit's box, as a fraction of the canvas
_JITTER = 1 / 32  # largest shift of the box within its quadrant
_CONTRAST = 0.75  # Euclidean distance of RGB colours in [0, 1]
# Backgrounds are darker than digits in every channel. With either one darker, 2,000 training images
# would not suffice to learn shapes independently of colours.
_DARK = 0.4
_CANDIDATES = 24  # colours tried per digit
_BLOTCHES, _NOISE = 0.05, 0.02  # standard deviations


def compose(
    digits: np.ndarray, size: int, rng: np.random.Generator, cells: np.ndarray | None = None
) -> np.ndarray:
    """Paint digits in random colours, sizes and quadrants: uint8 (3, size, size).

    ``digits`` are float32 (n, 8, 8), n at most 4, ink in [0, 1]. ``cells``, int64 (n,), are their
    quadrants (0–3, row by row), random where None. Equal generators give equal images.
    """
    colour = rng.uniform(0, _DARK, (3, 1, 1))
    canvas: np.ndarray = colour + _texture(size, rng)
    places = rng.permutation(4) if cells is None else cells
    for ink, cell in zip(digits, places, strict=False):
        side = round(size * rng.uniform(_SMALLEST, _LARGEST))
        y, x = _place(side, int(cell), size, rng)
        alpha = _resized(ink, side).clip(0, 1)
        paint = _contrasting(colour, rng)
        box = canvas[:, y : y + side, x : x + side]
        box += alpha * (paint - box)
    canvas += rng.standard_normal(canvas.shape, dtype=np.float32) * _NOISE
    pixels: np.ndarray = np.rint(canvas.clip(0, 1) * 255).astype(np.uint8)
    return pixels


def _texture(size: int, rng: np.random.Generator) -> np.ndarray:
    """Soft blotches, float32 (3, size, size)."""
    coarse = rng.standard_normal((3, 5, 5), dtype=np.float32) * _BLOTCHES
    return np.stack([_resized(channel, size) for channel in coarse])


def _resized(plane: np.ndarray, side: int) -> np.ndarray:
    image = Image.fromarray(plane).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _place(side: int, cell: int, size: int, rng: np.random.Generator) -> tuple[int, int]:
    """Top and left of a box in quadrant ``cell`` (0–3), off its middle by up to the jitter."""
    half = size // 2
    jitter = max(1, round(size * _JITTER))
    corner = np.array([cell // 2, cell % 2]) * half + (half - side) // 2
    y, x = (corner + rng.integers(-jitter, jitter + 1, 2)).clip(0, size - side)
    return int(y), int(x)


def _contrasting(background: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw colours (3, 1, 1) until one has enough contrast; else the best of all drawn."""
    colours = rng.uniform(_DARK, 1, (_CANDIDATES, 3, 1, 1))
    distance = np.sqrt(((colours - background) ** 2).sum(axis=(1, 2, 3)))
    enough = np.flatnonzero(distance >= _CONTRAST)
    return np.array(colours[enough[0] if enough.size else distance.argmax()])

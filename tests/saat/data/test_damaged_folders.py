"""Damaged data folders: each is refused in one line that names it, or loaded as it is."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from saat.data import RetrievalData
from saat.data.decode import RESIZES
from saat.data.layouts import SPLITS
from saat.errors import InputError

from .damage import DAMAGES, Damage
from .samples import splits, write_images, write_pairs, write_singles

LAYOUTS = (write_pairs, write_singles)
CASES = [(layout, damage) for layout, damage in product(range(2), DAMAGES)]


def load_or_line(root: Path, case: int) -> RetrievalData | str:
    """The data set, or the line that refuses it; anything else is a fault."""
    resize, cache = sorted(RESIZES)[case % 2], root.parent / "cache"
    try:
        return RetrievalData.from_folder(
            root, image_size=8, val_queries=4, resize=resize, cache_dir=cache
        )
    except InputError as error:
        return str(error)


def assert_sane(data: RetrievalData) -> None:
    """Everything fits together, and the images that nothing happened to are right."""
    rows = len(data.images)
    assert data.images.shape == (rows, 3, 8, 8)
    assert data.labels.shape == (rows, 3)
    assert set(np.unique(data.labels)) <= {0, 1}
    for split in SPLITS:
        assert 0 < len(getattr(data, split)) <= 20
        assert getattr(data, split).max() < rows
    assert not np.isin(data.test, np.concatenate([data.train, data.database])).any()
    constant = (data.images == data.images[:, :, :1, :1]).all(axis=(1, 2, 3))
    assert constant.sum() >= rows - 1, "one image was damaged, the others have one colour"
    assert (data.images[constant][:, 0].astype(int) * 2 == data.images[constant][:, 1]).mean() > 0.9


@pytest.mark.lengthy
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("case", "layout", "damage"),
    [
        pytest.param(case, layout, damage, id=f"{damage.__name__}-{LAYOUTS[layout].__name__}")
        for case, (layout, damage) in enumerate(CASES)
    ],
)
def test_a_damaged_folder_is_refused_in_one_line_or_sane(
    case: int, layout: int, damage: Damage, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "set"
    write_images(root, splits())
    LAYOUTS[layout](root, splits())
    damage(root, np.random.default_rng(case))
    found = load_or_line(root, case)
    if isinstance(found, str):
        assert str(root) in found
        assert "\n" not in found
        assert len(found) < 1000
        assert not list((tmp_path / "cache").glob("images/*/")), "no half entry stays"
    else:
        assert not DAMAGES[damage], "must be refused"
        assert_sane(found)
    assert "Traceback" not in capfd.readouterr().err

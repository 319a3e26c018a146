"""digits100: numbers of two digits, 100 classes, on the same canvases as digits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits as sklearn_digits

from saat.data import RetrievalData
from saat.data.digits import source_indices

CLASSES = sklearn_digits().target


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> RetrievalData:
    cache = tmp_path_factory.mktemp("cache")
    return RetrievalData.named("digits100", image_size=16, val_queries=40, cache_dir=cache)


@pytest.mark.slow
def test_labels_are_the_numbers_that_stand_in_the_two_halves(data: RetrievalData) -> None:
    assert data.labels.shape == (4540, 100)
    assert (data.name, data.label, data.classes) == ("digits100", "digits100", 100)
    for row, sources in enumerate(source_indices(val_queries=40, seed=0, numbers=True)):
        expected = set()
        for half in (sources[:2], sources[2:]):
            if half[0] >= 0:
                expected.add(int(f"{CLASSES[half[0]]}{CLASSES[half[1]]}"))
            else:
                assert half[1] == -1
        assert set(np.flatnonzero(data.labels[row]).tolist()) == expected
        assert 1 <= len(expected) <= 2
    assert (data.labels.sum(0) > 10).all()  # every number is there


def test_source_digits_of_the_splits_are_disjoint(data: RetrievalData) -> None:
    sources = source_indices(val_queries=40, seed=0, numbers=True)
    shown = [
        set(sources[rows].flatten()) - {-1} for rows in (data.database, data.validation, data.test)
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not shown[one] & shown[other]


def test_ink_stands_in_the_half_of_its_number(data: RetrievalData) -> None:
    sources = source_indices(val_queries=40, seed=0, numbers=True)
    brightness = data.images.astype(np.float64).mean(1)
    upper, lower = brightness[:, :8].mean((1, 2)), brightness[:, 8:].mean((1, 2))
    only_upper, only_lower = sources[:, 2] < 0, sources[:, 0] < 0
    assert (upper[only_upper] > lower[only_upper]).mean() > 0.95
    assert (upper[only_lower] < lower[only_lower]).mean() > 0.95


@pytest.mark.slow
def test_digits_stay_as_they_were(tmp_path) -> None:
    """Published numbers rest on these pixels."""
    digits = RetrievalData.named("digits", image_size=16, val_queries=40, cache_dir=tmp_path)
    assert digits.images[:50].astype(np.int64).sum() == DIGITS_SUM
    assert source_indices(val_queries=40, seed=0)[:2].tolist() == DIGITS_SOURCES


DIGITS_SUM = 2578131
DIGITS_SOURCES = [[1420, 982, -1], [495, 1378, 453]]

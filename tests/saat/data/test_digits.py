import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from saat.data import RetrievalData, digits
from saat.data.digits import SIZES, source_indices

from .samples import input_error, opened


def load(cache: Path, **changes: object) -> RetrievalData:
    settings = {"name": "digits", "image_size": 16, "val_queries": 40, "cache_dir": cache}
    return opened(**{**settings, **changes})


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def sha(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def test_splits(cache: Path) -> None:
    data = load(cache)
    assert (data.name, data.label) == ("digits", "digits")
    assert data.images.shape == (4540, 3, 16, 16)
    assert data.images.dtype == np.uint8
    assert data.classes == 10
    assert data.lists_sha256 == {}
    sizes = [len(rows) for rows in (data.train, data.database, data.validation, data.test)]
    assert sizes == [2000, 4000, 40, 500]
    assert np.isin(data.train, data.database).all()
    assert np.array_equal(data.validation_database, data.database)
    apart = np.concatenate([data.database, data.validation, data.test])
    assert sorted(apart.tolist()) == list(range(4540))
    assert all(rows.dtype == np.int64 for rows in (data.train, data.validation, data.test))


def test_labels_name_the_digits_shown(cache: Path) -> None:
    from sklearn.datasets import load_digits

    data = load(cache)
    target = load_digits().target
    sources = source_indices(val_queries=40, seed=0)
    assert sources.shape == (4540, 3)
    for own, label in zip(sources, data.labels, strict=True):
        assert set(np.flatnonzero(label)) == set(target[own[own >= 0]])
    shown = (sources >= 0).sum(axis=1)
    assert np.bincount(shown, minlength=4)[1:].min() > 1000
    assert (sources[:, 0] >= 0).all()
    assert data.labels.mean(axis=0).min() > 0.1  # every class is common


@pytest.mark.parametrize("seed", [0, 1])
def test_no_source_digit_is_shared_between_splits(seed: int) -> None:
    sources = source_indices(val_queries=400, seed=seed)
    pools = [set(part[part >= 0].tolist()) for part in np.split(sources, [SIZES["database"], 4400])]
    assert len(set.union(*pools)) == sum(len(pool) for pool in pools)
    assert min(len(pool) for pool in pools) > 200


def test_every_pool_has_every_class() -> None:
    from sklearn.datasets import load_digits

    sources = source_indices(val_queries=400, seed=0)
    for part in np.split(sources, [SIZES["database"], 4400]):
        own = np.unique(part[part >= 0])
        assert np.bincount(load_digits().target[own], minlength=10).min() >= 20


def test_images_show_as_many_digits_as_planned(cache: Path) -> None:
    # Digits are lighter than the background, so the mean light of images grows with their number.
    shown = (source_indices(val_queries=40, seed=0) >= 0).sum(axis=1)
    light = load(cache).images.reshape(4540, -1).mean(axis=1)
    by_number = [light[shown == number].mean() for number in (1, 2, 3)]
    assert np.diff(by_number).min() > 5


def test_no_two_images_share_a_background(cache: Path) -> None:
    data = load(cache)
    equal = data.images[data.validation] == data.images[data.database[:40]]
    assert equal.mean() < 0.05
    assert np.unique(data.images.reshape(4540, -1), axis=0).shape[0] == 4540


def test_more_queries_change_no_other_image(cache: Path) -> None:
    few, more = (load(cache, name="digits_mini", val_queries=count) for count in (40, 60))
    for split in ("database", "test"):
        assert np.array_equal(few.batch(getattr(few, split)), more.batch(getattr(more, split)))
        assert np.array_equal(
            few.label_tensor(getattr(few, split)), more.label_tensor(getattr(more, split))
        )
    assert np.array_equal(few.batch(few.validation), more.batch(more.validation[:40]))
    assert few.fingerprint != more.fingerprint


def test_the_seed_decides_everything(cache: Path) -> None:
    zero, one = (load(cache, name="digits_mini", seed=seed) for seed in (0, 1))
    assert zero.fingerprint != one.fingerprint
    assert not np.array_equal(zero.labels, one.labels)
    assert not np.array_equal(zero.images, one.images)


@pytest.mark.slow
def test_other_processes_compose_the_same_set(cache: Path, tmp_path: Path) -> None:
    data = load(cache, name="digits_mini")
    code = (
        "import hashlib, numpy as np, saat.data\n"
        "d = saat.data.RetrievalData.named('digits_mini', image_size=16, val_queries=40)\n"
        "print(d.fingerprint, hashlib.sha256(np.ascontiguousarray(d.images)).hexdigest())"
    )
    environment = {**os.environ, "SAAT_CACHE": str(tmp_path), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [data.fingerprint, sha(data.images)]


@pytest.mark.slow
def test_source_digits_are_those_of_scikit_learn_which_is_not_imported() -> None:
    code = (
        "import sys\n"
        "from saat.data.digits import source_digits\n"
        "ink, classes = source_digits()\n"
        "assert not any(m.startswith('sklearn') for m in sys.modules)\n"
        "from sklearn.datasets import load_digits\n"
        "theirs = load_digits()\n"
        "assert (ink == theirs.images / 16).all() and (classes == theirs.target).all()\n"
        "assert ink.dtype == 'float32' and classes.dtype == 'int64'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_source_that_is_missing_or_no_table_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "sklearn"
    monkeypatch.setattr(digits, "find_spec", lambda _: SimpleNamespace(origin=package / "x.py"))
    digits.source_digits.cache_clear()
    assert "digits.csv.gz" in input_error(lambda: load(tmp_path))
    (package / "datasets" / "data").mkdir(parents=True)
    (package / "datasets" / "data" / "digits.csv.gz").write_bytes(gzip.compress(b"no,table"))
    assert "digits cannot be read" in input_error(lambda: load(tmp_path))
    monkeypatch.setattr(digits, "find_spec", lambda _: None)
    assert "pip install scikit-learn" in input_error(lambda: load(tmp_path))


def test_the_small_set_is_the_first_of_every_split(cache: Path) -> None:
    data, small = load(cache), load(cache, name="digits_mini")
    assert (small.name, small.label, small.classes) == ("digits_mini", "digits_mini", 10)
    assert small.fingerprint != data.fingerprint
    sizes = {"train": 400, "database": 800, "validation": 40, "test": 100}
    for split, size in sizes.items():
        rows, first = getattr(small, split), getattr(data, split)[:size]
        assert len(rows) == size
        assert np.array_equal(small.images[rows], data.images[first])
        assert np.array_equal(small.labels[rows], data.labels[first])
    assert small.images.shape == (940, 3, 16, 16)


def test_small_canvases_and_other_resizes_are_refused(cache: Path) -> None:
    assert "image_size 15" in input_error(lambda: load(cache, image_size=15))
    assert "resize 'crop'" in input_error(lambda: load(cache, resize="crop"))

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import saat.data
import saat.data.folder
from saat.data import RetrievalData

from .samples import (
    folder,
    input_error,
    opened,
    real,
    splits,
    write_images,
    write_pairs,
    write_singles,
)


def load(root: Path, cache: Path, **changes: object) -> RetrievalData:
    settings = {"path": root, "image_size": 8, "val_queries": 4, "cache_dir": cache}
    return opened(**{**settings, **changes})


def test_splits_and_shapes(tmp_path: Path) -> None:
    data = load(folder(tmp_path / "toys"), tmp_path / "cache")
    assert data.name == "toys"
    assert data.images.shape == (25, 3, 8, 8)
    assert isinstance(data.images, np.memmap)
    assert (data.classes, data.image_size) == (3, 8)
    assert data.train.tolist() == list(range(10))
    assert data.database.tolist() == list(range(20))
    assert data.test.tolist() == list(range(20, 25))
    assert np.isin(data.validation, np.arange(10, 20)).all()
    assert len(data.validation) == 4
    assert len(data.validation_database) == 16
    assert sorted(data.lists_sha256) == sorted(f.name for f in (tmp_path / "toys").glob("*.txt"))


def test_validation_is_held_out_where_train_is_the_database(tmp_path: Path) -> None:
    content = splits()
    content["train"] = content["database"]
    write_images(tmp_path / "toys", content)
    data = load(write_pairs(tmp_path / "toys", content), tmp_path / "cache")
    assert len(data.train) == 16
    assert not np.isin(data.train, data.validation).any()
    assert len(data.database) == 20
    assert np.array_equal(np.sort(data.validation_database), np.sort(data.train))


def test_the_fingerprint_sees_everything_but_the_place(tmp_path: Path) -> None:
    root = folder(tmp_path / "toys")
    cache = tmp_path / "cache"
    base = load(root, cache).fingerprint
    shutil.copytree(root, tmp_path / "elsewhere")
    assert load(tmp_path / "elsewhere", tmp_path / "cache2").fingerprint == base
    prints = {
        base,
        load(root, cache, image_size=9).fingerprint,
        load(root, cache, val_queries=5).fingerprint,
        load(root, cache, seed=1).fingerprint,
        load(root, cache, resize="crop").fingerprint,
    }
    content = splits()
    content["test"] = [(path, "1 1 1") for path, _ in content["test"]]
    prints.add(load(write_pairs(root, content), cache).fingerprint)
    assert len(prints) == 6


def test_both_layouts_give_the_same_data(tmp_path: Path) -> None:
    pairs = load(folder(tmp_path / "a"), tmp_path / "cache")
    write_images(tmp_path / "b", splits())
    singles = load(write_singles(tmp_path / "b", splits()), tmp_path / "cache")
    assert np.array_equal(pairs.images, singles.images)
    assert np.array_equal(pairs.labels, singles.labels)
    assert np.array_equal(pairs.validation, singles.validation)


def test_changed_images_are_decoded_again(tmp_path: Path) -> None:
    root = folder(tmp_path / "toys")
    before = load(root, tmp_path / "cache").images.copy()
    shutil.copy(root / "images/d1.png", root / "images/d0.png")
    after = load(root, tmp_path / "cache").images
    assert np.array_equal(after[0], before[1])
    assert np.array_equal(after[1:], before[1:])


def bitmaps(root: Path, shade: int) -> Path:
    """A whole set whose files have the same names, sizes and times for any ``shade``."""
    write_pairs(root, splits())
    for i, path in enumerate(sorted({path for rows in splits().values() for path, _ in rows})):
        file = root / path
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (12, 12), (shade, i, 0)).save(file, format="BMP")
        os.utime(file, (10**9, 10**9))
    return root


def test_two_sets_that_differ_in_pixels_alone_do_not_share_them(tmp_path: Path) -> None:
    first = load(bitmaps(tmp_path / "a/toys", 10), tmp_path / "cache")
    second = load(bitmaps(tmp_path / "b/toys", 20), tmp_path / "cache")
    assert (first.images[:, 0] == 10).all()
    assert (second.images[:, 0] == 20).all()
    assert first.label == second.label
    assert first.fingerprint != second.fingerprint


def test_a_set_exchanged_in_its_place_is_decoded_again(tmp_path: Path) -> None:
    root = bitmaps(tmp_path / "toys", 10)
    first = load(root, tmp_path / "cache").fingerprint
    bitmaps(root, 20)
    second = load(root, tmp_path / "cache")
    assert (second.images[:, 0] == 20).all()
    assert second.fingerprint != first


def test_even_files_that_no_status_tells_apart_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saat.data.folder, "cache_key", lambda *_: ("key", 0))
    load(bitmaps(tmp_path / "a/toys", 10), tmp_path / "cache")
    second = load(bitmaps(tmp_path / "b/toys", 20), tmp_path / "cache")
    assert (second.images[:, 0] == 20).all()


def test_progress_is_reported_while_decoding_only(tmp_path: Path) -> None:
    root = folder(tmp_path / "toys")
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        load(root, tmp_path / "cache", progress=lambda *done: seen.append(done))
    assert seen == [(25, 25)]


def test_a_bad_image_leaves_no_entry(tmp_path: Path) -> None:
    root = folder(tmp_path / "toys")
    (root / "images/t0.png").write_bytes(b"x")
    message = input_error(lambda: load(root, tmp_path / "cache"))
    assert "test_img.txt:1:" in message
    assert [p.name for p in (tmp_path / "cache/images").iterdir() if p.is_dir()] == []


def test_settings_are_checked_before_any_work(tmp_path: Path) -> None:
    root = folder(tmp_path / "toys")
    (root / "images/t0.png").write_bytes(b"x")
    cache = tmp_path / "cache"
    assert "resize 'fit': must be one of squash, crop" in input_error(
        lambda: load(root, cache, resize="fit")
    )
    message = input_error(lambda: load(root, cache, val_queries=11))
    assert f"{root}: val_queries 11:" in message
    assert not cache.exists()


def test_voc_photographs_load(tmp_path: Path) -> None:
    source = real("voc2007")
    target = tmp_path / "voc2007"
    counts = {"train": 4, "database": 8, "test": 2}
    content = {}
    for split, count in counts.items():
        paths = (source / f"{split}_img.txt").read_text().splitlines()[:count]
        labels = (source / f"{split}_label.txt").read_text().splitlines()[:count]
        content[split] = list(zip(paths, labels, strict=True))
    known = dict(content["database"])
    content["train"] = [row for row in content["train"] if row[0] in known]
    write_pairs(target, content)
    for path in {path for rows in content.values() for path, _ in rows}:
        (target / path).parent.mkdir(exist_ok=True)
        shutil.copy(source / path, target / path)
    data = load(target, tmp_path / "cache", image_size=64, val_queries=2)
    assert data.name == "voc2007"
    assert data.images.shape == (10, 3, 64, 64)
    assert data.classes == 20
    assert data.images.reshape(10, -1).std(axis=1).min() > 10  # photographs, not blanks


@pytest.mark.parametrize("val_queries", [0, 5])
def test_any_number_of_queries_up_to_the_limit(tmp_path: Path, val_queries: int) -> None:
    data = load(folder(tmp_path / "toys"), tmp_path / "cache", val_queries=val_queries)
    assert len(data.validation) == val_queries

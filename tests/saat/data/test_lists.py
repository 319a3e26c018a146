import hashlib
import time
from pathlib import Path

import numpy as np
import pytest

from saat.data.layouts import read_lists

from .samples import input_error, real, splits, write_pairs, write_singles


@pytest.mark.parametrize("write", [write_pairs, write_singles])
def test_images_get_one_row_each(tmp_path: Path, write: object) -> None:
    assert callable(write)
    lists = read_lists(write(tmp_path, splits()))
    assert lists.paths == [path for path, _ in splits()["database"] + splits()["test"]]
    assert lists.rows["database"].tolist() == list(range(20))
    assert lists.rows["train"].tolist() == list(range(10))
    assert lists.rows["test"].tolist() == list(range(20, 25))
    assert all(rows.dtype == np.int64 for rows in lists.rows.values())
    assert lists.labels.dtype == np.uint8
    assert lists.labels[4].tolist() == [0, 1, 0]
    assert lists.labels[24].tolist() == [1, 0, 1]
    assert lists.sha256 == {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in tmp_path.iterdir()
    }
    assert lists.origins[21] in (f"{tmp_path}/test_img.txt:2", f"{tmp_path}/test.txt:2")


def test_train_images_outside_the_database_are_allowed(tmp_path: Path) -> None:
    content = splits()
    content["train"] = [*content["train"], ("extra.png", "1 1 1")]
    lists = read_lists(write_pairs(tmp_path, content))
    assert lists.rows["train"].tolist() == [*range(10), 20]
    assert lists.labels[20].tolist() == [1, 1, 1]


def test_a_path_twice_in_one_list_counts_twice(tmp_path: Path) -> None:
    content = splits()
    content["train"] = [*content["train"], content["train"][3]]
    lists = read_lists(write_pairs(tmp_path, content))
    assert lists.rows["train"].tolist() == [*range(10), 3]
    assert len(lists.paths) == 25


def test_a_missing_list_names_both_layouts(tmp_path: Path) -> None:
    write_pairs(tmp_path, splits())
    (tmp_path / "test_label.txt").unlink()
    message = input_error(lambda: read_lists(tmp_path))
    assert str(tmp_path) in message
    assert "{train,test,database}_{img,label}.txt (missing: test_label.txt)" in message
    assert "{train,test,database}.txt (missing: database.txt, train.txt, test.txt)" in message


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "no") in input_error(lambda: read_lists(tmp_path / "no"))


@pytest.mark.parametrize("other", ["database", "train"])
def test_a_test_image_elsewhere_is_refused(tmp_path: Path, other: str) -> None:
    content = splits()
    shared = [("images/./t3.png", "1 0 1"), ("images/t4.png", "1 0 1")]
    content[other] = content[other] + shared
    message = input_error(lambda: read_lists(write_pairs(tmp_path, content)))
    assert f"{tmp_path}/test_img.txt:4: test image 'images/t3.png'" in message
    assert f"{other}_img.txt:{len(content[other]) - 1}" in message
    assert "(2 such in all)" in message


def test_another_label_for_the_same_image_is_refused(tmp_path: Path) -> None:
    content = splits()
    content["train"] = [*content["train"][:6], (content["train"][6][0], "1 1 1")]
    message = input_error(lambda: read_lists(write_pairs(tmp_path, content)))
    assert f"{tmp_path}/train_img.txt:7: image 'images/d6.png'" in message
    assert "database_img.txt:7;" in message


@pytest.mark.parametrize("split", ["database", "train", "test"])
def test_another_label_within_one_list_is_refused(tmp_path: Path, split: str) -> None:
    content = splits()
    first = content[split][2][0] if split != "train" else "extra.png"
    content[split] = [*content[split], (first, "0 1 1"), (first, "1 1 1")]
    message = input_error(lambda: read_lists(write_pairs(tmp_path, content)))
    assert f"{tmp_path}/{split}_img.txt:" in message
    assert f"image {first!r} has another label" in message


def test_lists_without_any_label_are_refused(tmp_path: Path) -> None:
    content = {name: [(path, "0 0 0") for path, _ in rows] for name, rows in splits().items()}
    assert "no image of any list has a label" in input_error(
        lambda: read_lists(write_pairs(tmp_path, content))
    )


def test_lists_of_unequal_width_are_refused(tmp_path: Path) -> None:
    content = splits()
    content["test"] = [(path, "1 0") for path, _ in content["test"]]
    message = input_error(lambda: read_lists(write_pairs(tmp_path, content)))
    assert f"{tmp_path}/test_img.txt:1: 2 labels per image; database_img.txt has 3" in message


def test_flickr_lists_are_read_as_published_and_fast() -> None:
    folder = real("protocols/FLICKR-25K")
    start = time.perf_counter()
    lists = read_lists(folder)
    assert time.perf_counter() - start < 5  # 0.2 s alone; the machine may be shared
    assert {name: len(rows) for name, rows in lists.rows.items()} == {
        "database": 23300,
        "train": 5000,
        "test": 1700,
    }
    assert np.unique(lists.rows["train"]).size == 4496  # 504 repeated lines
    train_labels = np.loadtxt(folder / "train_label.txt", dtype=np.uint8)
    assert np.array_equal(lists.labels[lists.rows["train"]], train_labels)
    assert (lists.labels[lists.rows["database"]].sum(axis=1) == 0).sum() == 381

import dataclasses

import numpy as np
import pytest
import torch

from saat.data.dataset import RetrievalData
from saat.data.labelled_images import fingerprint

from .samples import input_error


def data() -> RetrievalData:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 3, 5, 5), dtype=np.uint8)
    images.setflags(write=False)
    return RetrievalData(
        name="toy",
        images=images,
        labels=np.eye(8, 4, dtype=np.uint8),
        train=np.arange(3),
        database=np.array([0, 1, 2, 3, 4, 4]),
        validation=np.array([4]),
        test=np.arange(5, 8),
        fingerprint="",
        lists_sha256={},
    )


def test_validation_queries_leave_the_database_with_every_copy() -> None:
    assert data().validation_database.tolist() == [0, 1, 2, 3]


def test_a_set_without_lists_is_labelled_by_its_name() -> None:
    assert data().label == "toy"
    assert dataclasses.replace(data(), label="toy/custom-12345678").label == "toy/custom-12345678"


@pytest.mark.parametrize(
    "labels",
    [np.arange(6) % 2, (np.arange(6) % 2)[:, None], np.full((6, 2), 2, dtype=np.uint8)],
    ids=["indices", "one column", "not binary"],
)
def test_labels_that_are_no_label_vectors_are_refused(labels: np.ndarray) -> None:
    message = input_error(lambda: dataclasses.replace(data(), labels=labels))
    assert "labels: " in message
    assert "0 or 1" in message or "0s and 1s" in message


def test_sizes() -> None:
    assert (data().classes, data().image_size) == (4, 5)


@pytest.mark.parametrize("rows", [[2, 0], np.array([2, 0]), torch.tensor([2, 0])])
def test_batches_are_copies_of_the_rows(rows: list[int]) -> None:
    toy = data()
    batch, labels = toy.batch(rows), toy.label_tensor(rows)
    assert (batch.dtype, batch.shape) == (torch.uint8, (2, 3, 5, 5))
    assert (labels.dtype, labels.shape) == (torch.uint8, (2, 4))
    assert np.array_equal(batch.numpy(), toy.images[[2, 0]])
    assert np.array_equal(labels.numpy(), toy.labels[[2, 0]])
    before = toy.images.copy()
    batch.zero_()
    assert np.array_equal(toy.images, before)


def test_an_empty_batch_has_its_shape() -> None:
    assert data().batch([]).shape == (0, 3, 5, 5)


def test_arrays_are_read_only() -> None:
    toy = data()
    for array in (toy.labels, toy.train, toy.database, toy.validation, toy.test):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_the_fingerprint_sees_recipe_and_arrays_and_is_the_same_everywhere() -> None:
    rows = np.arange(4)
    base = fingerprint({"a": 1, "b": 2}, {"x": rows, "y": rows})
    assert base == fingerprint({"b": 2, "a": 1}, {"y": rows, "x": rows.astype(">i8")})
    assert len(base) == 64
    others = [
        fingerprint({"a": 1, "b": 3}, {"x": rows, "y": rows}),
        fingerprint({"a": 1, "b": 2}, {"x": rows, "y": rows[::-1]}),
        fingerprint({"a": 1, "b": 2}, {"x": rows.reshape(2, 2), "y": rows}),
        fingerprint({"a": 1, "b": 2}, {"x": rows, "z": rows}),
    ]
    assert len({base, *others}) == 5

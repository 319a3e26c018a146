"""Data sets from images and labels in memory."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from saat.data import RetrievalData

from .samples import input_error

Pair = tuple[Tensor, Tensor]


def pair(count: int, seed: int = 0, classes: int = 3, size: int = 8) -> Pair:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    return images, torch.eye(classes)[torch.arange(count) % classes]


def test_every_split_has_its_own_images_and_labels() -> None:
    train, database, test, validation = pair(4, 1), pair(6, 2), pair(3, 3), pair(2, 4)
    data = RetrievalData.from_tensors(
        train=train, database=database, test=test, validation=validation
    )
    for split, given in (("train", train), ("database", database), ("test", test)):
        rows = getattr(data, split)
        assert torch.equal(data.batch(rows), given[0])
        assert torch.equal(data.label_tensor(rows).float(), given[1])
    assert torch.equal(data.batch(data.validation), validation[0])
    assert len(data.validation_database) == 6
    assert (data.classes, data.image_size, len(data.images)) == (3, 8, 15)


def test_without_a_database_queries_retrieve_training_images() -> None:
    data = RetrievalData.from_tensors(train=pair(4, 1), test=pair(3, 2))
    assert np.array_equal(data.database, data.train)
    assert len(data.validation) == 0


def test_floats_arrays_and_other_dtypes_give_the_same_bytes() -> None:
    images, labels = pair(5)
    plain = RetrievalData.from_tensors(train=(images, labels), test=(images, labels))
    for images_, labels_ in (
        (images.float() / 255, labels.bool()),
        ((images.double() / 255).numpy(), labels.long().numpy()),
        (images.numpy(), labels.to(torch.uint8)),
    ):
        other = RetrievalData.from_tensors(train=(images_, labels_), test=(images_, labels_))
        assert np.array_equal(other.images, plain.images)
        assert other.fingerprint == plain.fingerprint


def test_floats_become_the_nearest_level() -> None:
    levels = torch.tensor([0.0, 0.6, 1.4, 254.7, 255.0]) / 255
    images = levels[:, None, None, None].expand(5, 3, 2, 2)
    labels = torch.eye(3)[torch.zeros(5, dtype=torch.long)]
    data = RetrievalData.from_tensors(train=(images, labels), test=(images, labels))
    assert data.batch(data.test)[:, 0, 0, 0].tolist() == [0, 1, 1, 255, 255]


def test_the_data_set_is_a_copy_and_read_only() -> None:
    train, test = pair(4), pair(3)
    data = RetrievalData.from_tensors(train=train, test=test)
    before = data.images.copy()
    train[0].zero_()
    assert np.array_equal(data.images, before)
    assert not data.images.flags.writeable
    assert not data.labels.flags.writeable


def test_the_fingerprint_is_of_images_labels_and_splits() -> None:
    train, test = pair(4, 1), pair(4, 2)
    brighter = (train[0].clamp(max=254) + 1, train[1])
    prints = {
        RetrievalData.from_tensors(train=train, test=test).fingerprint,
        RetrievalData.from_tensors(train=test, test=train).fingerprint,
        RetrievalData.from_tensors(train=brighter, test=test).fingerprint,
        RetrievalData.from_tensors(train=(train[0], train[1].flip(1)), test=test).fingerprint,
        RetrievalData.from_tensors(train=train, database=train, test=test).fingerprint,
    }
    assert len(prints) == 5
    again = RetrievalData.from_tensors(train=train, test=test, name="other")
    assert again.fingerprint in prints


def changed(change: Callable[[Tensor, Tensor], object]) -> Callable[[], object]:
    return lambda: RetrievalData.from_tensors(train=pair(4), test=change(*pair(4)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x, y: x, "test: must be a pair of images and labels"),
        (lambda x, y: (x, y[:3]), "test: 4 images and 3 label rows"),
        (lambda x, y: (x[:0], y[:0]), "test: 0 images"),
        (lambda x, y: (x.permute(0, 2, 3, 1), y), "permute(0, 3, 1, 2)"),
        (lambda x, y: (x[:, :1], y), "test images: shape (4, 1, 8, 8); must be (N, 3, H, W)"),
        (lambda x, y: (x[..., :4], y), "test images: shape (4, 3, 8, 4)"),
        (lambda x, y: (x.long(), y), "test images: int64; must be uint8, or float in [0, 1]"),
        (lambda x, y: (x.float(), y), "test images: values from 0 to 2"),
        (lambda x, y: (x / 255 - 0.5, y), "without normalisation"),
        (lambda x, y: (x * torch.nan, y), "test images: values from nan"),
        (lambda x, y: (x.to("meta"), y), "on the device meta"),
        (lambda x, y: (x.tolist(), y), "test images: list; must be a torch tensor"),
        (lambda x, y: (x, y.argmax(1)), "test labels: shape (4,)"),
        (lambda x, y: (x, y * 2), "test labels: 2.0; must be 0 or 1"),
        (lambda x, y: (x, y[:, :2]), "test labels: shape (N, 2); train labels have (N, 3)"),
        (lambda x, y: (x[..., :4, :4], y), "train images have (N, 3, 8, 8)"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(
    change: Callable[[Tensor, Tensor], object], expected: str
) -> None:
    assert expected in input_error(changed(change))

"""The registry of named data sets, and where their folders are."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from saat.data.digits import load_digits
from saat.data.folder import load_folder
from saat.data.labelled_images import LabelledImages
from saat.data_source import dataset_folder
from saat.registry import Registry, instance_of


@dataclass(frozen=True)
class Dataset:
    """A data set with a name.

    Attributes:
        load: Loads the set; ``root`` is its own folder, unless it is embedded.
        classes: C, the width of its label vectors.
        obtain: Where images and lists come from, one line.
        folder: Its folder of image lists below the root; None if it is embedded.
        sizes: Training, database and test images of the published lists, to plan with where they
            are not at hand; None if not all of them are published.
    """

    load: Callable[..., LabelledImages]
    description: str
    classes: int
    obtain: str
    folder: str | None = None
    sizes: tuple[int, int, int] | None = None


def _embedded(name: str, classes: int, description: str) -> Dataset:
    obtain = "embedded: composed from scikit-learn's digits"
    return Dataset(partial(load_digits, name=name), description, classes, obtain)


def _listed(
    name: str,
    folder: str,
    classes: int,
    description: str,
    obtain: str,
    sizes: tuple[int, int, int] | None = None,
) -> Dataset:
    load = partial(load_folder, name=name, classes=classes)
    return Dataset(load, description, classes, obtain, folder, sizes)


_PROS_GAN = "github.com/xunguangwang/ProS-GAN"
_HASHNET = "github.com/thuml/HashNet (pytorch/README.md)"
DATASETS: Registry[Dataset] = Registry(
    "data set",
    "saat.datasets",
    {
        "digits": _embedded("digits", 10, "one to three handwritten digits on a colour canvas"),
        "digits_mini": _embedded(
            "digits_mini", 10, "a fifth of digits, for trying out a cluster or a search"
        ),
        "digits100": _embedded(
            "digits100", 100, "one or two handwritten numbers from 00 to 99 on a colour canvas"
        ),
        "flickr25k": _listed(
            "flickr25k",
            "FLICKR-25K",
            38,
            "photographs from Flickr, annotated with tags",
            "images: https://press.liacs.nl/mirflickr/mirdownload.html; "
            f"lists: data/FLICKR-25K of {_PROS_GAN}",
            (5000, 23_300, 1700),
        ),
        "nuswide": _listed(
            "nuswide",
            "NUS-WIDE",
            21,
            "photographs from Flickr, the most frequent concepts",
            f"lists: train and test in data/NUS-WIDE of {_PROS_GAN}, the database list is yours to "
            "write; images: the original photographs, named as in the lists",
        ),
        "mscoco": _listed(
            "mscoco",
            "MS-COCO",
            80,
            "photographs of everyday scenes, the objects in them",
            "images: train2014 and val2014 of https://cocodataset.org/#download; lists: train and "
            f"test in data/MS-COCO of {_PROS_GAN}, the database list is yours to write",
        ),
        "cifar10": _listed(
            "cifar10",
            "CIFAR-10",
            10,
            "photographs of 32×32 pixels, one label each",
            "images and one-file lists: release v0.1 of github.com/thulab/DeepHash, cifar10.zip",
        ),
        "imagenet100": _listed(
            "imagenet100",
            "ImageNet",
            100,
            "photographs of a hundred ImageNet classes, one label each",
            f"images and one-file lists: linked from {_HASHNET}",
        ),
    },
    problem=instance_of(Dataset),
    describe=lambda entry: entry.description,
)


def locate(name: str, root: str | Path | None) -> Path:
    """:func:`saat.data_source.dataset_folder` of a set of :data:`DATASETS` that is not embedded."""
    entry = DATASETS[name]
    return dataset_folder(name, str(entry.folder), entry.obtain, root)

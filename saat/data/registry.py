"""The data sets that have a name, and where their folders are looked for."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from saat.data.digits import load_digits
from saat.data.folder import load_folder
from saat.data.labelled_images import LabelledImages
from saat.errors import InputError, did_you_mean, one_line
from saat.paths import user_path
from saat.registry import Registry, instance_of

ROOT_VARIABLE = "SAAT_DATA"


@dataclass(frozen=True)
class Dataset:
    """A data set with a name.

    Attributes:
        load: Loads it; takes ``root``, its own folder, unless it is embedded.
        description: One line.
        classes: C, the width of its label vectors.
        obtain: Where images and lists come from, one line.
        folder: Its folder of image lists below the root, named as in the reference repositories;
            None where embedded.
    """

    load: Callable[..., LabelledImages]
    description: str
    classes: int
    obtain: str
    folder: str | None = None


def _listed(name: str, folder: str, classes: int, description: str, obtain: str) -> Dataset:
    load = partial(load_folder, name=name, classes=classes)
    return Dataset(load, description, classes, obtain, folder)


_PROS_GAN = "github.com/xunguangwang/ProS-GAN"
_HASHNET = "github.com/thuml/HashNet (pytorch/README.md)"
DATASETS: Registry[Dataset] = Registry(
    "data set",
    "saat.datasets",
    {
        "digits": Dataset(
            load_digits,
            "one to three handwritten digits on a colour canvas",
            10,
            "embedded: composed from scikit-learn's digits",
        ),
        "digits_mini": Dataset(
            partial(load_digits, name="digits_mini"),
            "a fifth of digits, for trying out a cluster or a search",
            10,
            "embedded: composed from scikit-learn's digits",
        ),
        "digits100": Dataset(
            partial(load_digits, name="digits100"),
            "one or two handwritten numbers from 00 to 99 on a colour canvas",
            100,
            "embedded: composed from scikit-learn's digits",
        ),
        "flickr25k": _listed(
            "flickr25k",
            "FLICKR-25K",
            38,
            "photographs from Flickr, annotated with tags",
            "images: https://press.liacs.nl/mirflickr/mirdownload.html; "
            f"lists: data/FLICKR-25K of {_PROS_GAN}",
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
    """The folder of a named set: ``root`` joined with the set's own folder name.

    Args:
        name: A set of :data:`DATASETS` that is not embedded.
        root: The folder that contains the set's folder; where None, the environment variable
            ``SAAT_DATA`` of this process.

    Raises:
        InputError: No root, a relative ``SAAT_DATA``, or no such folder; says where was looked
            and how to obtain the set.
    """
    entry = DATASETS[name]
    place = root if root is not None else os.environ.get(ROOT_VARIABLE)
    source = "" if root is not None else f" ({ROOT_VARIABLE})"
    if not place:
        raise InputError(
            f"data: {name} not found: neither data.root nor the environment variable "
            f"{ROOT_VARIABLE} names the folder that contains {entry.folder}; {entry.obtain}"
        )
    expanded = user_path(place, "data.root:" if root is not None else f"data: {ROOT_VARIABLE}")
    # Workers of a search have working folders of their own.
    if root is None and not expanded.is_absolute():
        raise InputError(f"data: {ROOT_VARIABLE}={place}: must be an absolute path")
    folder = expanded / str(entry.folder)
    if not folder.is_dir():
        raise InputError(f"data: {name} not found: looked in {folder}{source}; {entry.obtain}")
    return folder


def source_problem(
    name: str | None, path: str | Path | None, root: str | Path | None
) -> str | None:
    """What is wrong with a choice of ``name``, ``path`` and ``root``; None where nothing is."""
    if (name is None) == (path is None):
        return f"give exactly one of name and path, not name={name!r}, path={path!r}"
    if name is None:
        return None if root is None else f"root {str(root)!r}: only with name; path says it all"
    if name not in DATASETS:
        return (
            f"unknown name {one_line(name, 60)!r}: one of {', '.join(DATASETS)}, or the path of a "
            f"folder of image lists{did_you_mean(name, DATASETS)}"
        )
    if root is not None and DATASETS[name].folder is None:
        return f"root {str(root)!r}: {name} is embedded and takes none"
    return None

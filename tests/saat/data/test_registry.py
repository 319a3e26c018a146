"""Sets by name: where they are looked for, and what they are called."""

from pathlib import Path

import numpy as np
import pytest

from saat.data import DATASETS, RetrievalData, identity, locate
from saat.data.identity import set_label
from saat.data.layouts import read_lists

from .samples import folder, input_error, opened, real, splits, write_images, write_pairs

LISTED = [name for name, entry in DATASETS.items() if entry.folder is not None]


def cifar(root: Path) -> Path:
    """A CIFAR-10 of 25 images below ``root``."""
    content = {
        split: [(path, label + " 0 0 0 0 0 0 0") for path, label in rows]
        for split, rows in splits().items()
    }
    write_images(root / "CIFAR-10", content)
    write_pairs(root / "CIFAR-10", content)
    return root


def load(cache: Path, **source: object) -> RetrievalData:
    settings = {"image_size": 8, "val_queries": 4, "cache_dir": cache}
    return opened(**{**settings, **source})


@pytest.fixture(autouse=True)
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAAT_DATA", raising=False)


def test_a_named_set_is_its_folder_below_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = cifar(tmp_path / "data"), tmp_path / "cache"
    named = load(cache, name="cifar10", root=root)
    assert named.name == "cifar10"
    assert named.label.startswith("cifar10/custom-")
    by_path = load(cache, path=root / "CIFAR-10")
    assert by_path.label == named.label.replace("cifar10", "CIFAR-10")
    assert by_path.fingerprint == named.fingerprint
    assert np.array_equal(by_path.images, named.images)
    monkeypatch.setenv("SAAT_DATA", str(root))
    assert load(cache, name="cifar10").label == named.label
    assert "nowhere" in input_error(lambda: load(cache, name="cifar10", root=tmp_path / "nowhere"))


def test_labels_of_another_width_are_refused(tmp_path: Path) -> None:
    folder(tmp_path / "CIFAR-10")
    message = input_error(lambda: load(tmp_path / "cache", name="cifar10", root=tmp_path))
    assert f"{tmp_path / 'CIFAR-10'}: its lists have 3 labels per image; cifar10 has 10" in message
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", LISTED)
def test_a_missing_set_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    entry = DATASETS[name]
    without = input_error(lambda: locate(name, None))
    assert f"data: {name} not found: neither data.root nor" in without
    assert f"SAAT_DATA names the folder that contains {entry.folder}" in without
    given = input_error(lambda: locate(name, tmp_path))
    assert f"looked in {tmp_path / str(entry.folder)};" in given
    monkeypatch.setenv("SAAT_DATA", str(tmp_path))
    variable = input_error(lambda: locate(name, None))
    assert f"looked in {tmp_path / str(entry.folder)} (SAAT_DATA);" in variable
    for message in (without, given, variable):
        assert message.endswith(entry.obtain)


def test_the_variable_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cifar(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAAT_DATA", ".")
    assert "SAAT_DATA=.: must be an absolute path" in input_error(lambda: locate("cifar10", None))
    assert locate("cifar10", ".") == Path("CIFAR-10")


def test_recognised_lists_have_one_label_by_name_and_by_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = cifar(tmp_path / "data"), tmp_path / "cache"
    content = read_lists(root / "CIFAR-10").content_sha256
    monkeypatch.setattr(identity, "KNOWN_LISTS", {"cifar10/paper": content})
    for source in ({"name": "cifar10", "root": root}, {"path": root / "CIFAR-10"}):
        assert load(cache, **source).label == "cifar10/paper"


def test_a_copy_of_the_published_lists_is_recognised(tmp_path: Path) -> None:
    for file in real("protocols/FLICKR-25K").glob("*.txt"):
        # As from a Windows checkout: other bytes, the same lists.
        (tmp_path / file.name).write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    lists = read_lists(tmp_path)
    assert set_label("mine", lists.content_sha256) == "flickr25k/prosgan"

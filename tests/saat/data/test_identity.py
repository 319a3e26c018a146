import hashlib
import posixpath
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saat.data import identity
from saat.data.identity import KNOWN_LISTS, content_sha256, set_label
from saat.data.layouts import SPLITS, read_lists
from saat.data.list_files import read_pair
from tests import reference_data

from .samples import real, splits, write_pairs, write_singles

CONTENT = {"train": "a" * 64, "database": "b" * 64, "test": "c" * 64}


@given(st.data())
def test_a_content_hash_is_that_of_the_one_file_layout(data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 5))
    row = st.lists(st.integers(0, 1), min_size=width, max_size=width)
    rows = data.draw(st.lists(row, min_size=1, max_size=5))
    paths = [f"{data.draw(st.text('aä /', max_size=3))}{i}.jpg" for i in range(len(rows))]
    normalised = [posixpath.normpath(path) for path in paths]
    got = content_sha256(normalised, np.array(rows, dtype=np.uint8))
    assert got == reference_data.content_sha256(paths, rows)


def test_how_a_list_is_written_does_not_matter(tmp_path: Path) -> None:
    plain = read_lists(write_pairs(tmp_path / "pairs", splits()))
    single = read_lists(write_singles(tmp_path / "singles", splits()))
    for file in (tmp_path / "pairs").iterdir():
        lines = file.read_bytes().splitlines()
        file.write_bytes(b"".join(b" " + line + b" \r\n" for line in lines) + b"\r\n")
    spaced = read_lists(tmp_path / "pairs")
    assert plain.content_sha256 == single.content_sha256 == spaced.content_sha256
    assert set(plain.content_sha256) == set(SPLITS)
    assert plain.sha256 != spaced.sha256


@pytest.mark.parametrize("change", ["order", "label", "path", "row"])
@pytest.mark.parametrize("split", SPLITS)
def test_what_a_list_says_does(tmp_path: Path, split: str, change: str) -> None:
    before = read_lists(write_pairs(tmp_path / "a", splits())).content_sha256
    content = {name: list(rows) for name, rows in splits().items()}
    rows = content[split]
    changes = {
        "order": [rows[1], rows[0], *rows[2:]],
        "label": [*rows[:-1], (rows[-1][0], "1 1 1")],
        "path": [("images/other.png", rows[0][1]), *rows[1:]],
        "row": [*rows, rows[0]],
    }
    content[split] = changes[change]
    if change == "label" and split == "train":  # one image has one label
        content["database"][9] = (rows[-1][0], "1 1 1")
    after = read_lists(write_pairs(tmp_path / "b", content)).content_sha256
    changed = {name for name in SPLITS if before[name] != after[name]}
    assert changed == ({split, "database"} if change == "label" and split == "train" else {split})


def test_unknown_lists_are_custom() -> None:
    text = f"database {'b' * 64}\ntest {'c' * 64}\ntrain {'a' * 64}\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert set_label("voc2007", CONTENT) == f"voc2007/custom-{digest[:8]}"
    labels = {set_label("voc2007", {**CONTENT, split: "d" * 64}) for split in CONTENT}
    assert len(labels | {set_label("voc2007", CONTENT)}) == 4
    swapped = {**CONTENT, "train": "c" * 64, "test": "a" * 64}
    assert set_label("voc2007", swapped) != set_label("voc2007", CONTENT)


def test_known_lists_are_recognised_by_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"toys/paper": CONTENT, "bears/paper": {"train": "1" * 64, "test": "2" * 64}}
    monkeypatch.setattr(identity, "KNOWN_LISTS", known)
    assert set_label("any folder", CONTENT) == "toys/paper"
    assert set_label("toys", {**CONTENT, "test": "d" * 64}).startswith("toys/custom-")
    bears = {"train": "1" * 64, "test": "2" * 64, "database": "0123456789" * 6}
    assert set_label("bears", bears) == "bears/paper-database-01234567"
    assert set_label("bears", {**bears, "train": "3" * 64}).startswith("bears/custom-")


@pytest.mark.parametrize("label", KNOWN_LISTS)
def test_the_published_lists_have_the_hashes_of_the_table(label: str) -> None:
    folder = {"flickr25k": "FLICKR-25K", "nuswide": "NUS-WIDE", "mscoco": "MS-COCO"}
    root = real("protocols") / folder[label.partition("/")[0]]
    found = {}
    for file in sorted(root.glob("*_img.txt")):
        split = file.name.removesuffix("_img.txt")
        lists = read_pair(file, root / f"{split}_label.txt")
        found[split] = content_sha256(lists.paths, lists.labels)
    assert found == KNOWN_LISTS[label]
    assert set_label("x", {"database": "f" * 64} | found).startswith(label)

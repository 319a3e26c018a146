"""Labels of one set in the classes of another."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saat.data
from saat.data.label_map import LabelMap, parse_label_map, relabelled
from tests import reference_data

from .samples import folder, input_error

PETS: dict[str, Any] = {
    "source": ["cat", "dog", "car", "tree"],
    "target": ["vehicle", "animal", "house"],
    "map": {"cat": "animal", "dog": "animal", "car": "vehicle"},
}


@given(st.data())
def test_every_row_is_mapped_class_by_class(data: st.DataObject) -> None:
    source, target = data.draw(st.integers(2, 6)), data.draw(st.integers(2, 6))
    classes = st.integers(0, target - 1)
    pairs = data.draw(st.dictionaries(st.integers(0, source - 1), classes, min_size=1))
    row = st.lists(st.integers(0, 1), min_size=source, max_size=source)
    rows = data.draw(st.lists(row, min_size=1, max_size=8))
    label_map = parse_label_map({"source": source, "target": target, "map": pairs}, "m.yaml")
    split = np.zeros((len(rows), 3, 1, 1), dtype=np.uint8), np.array(rows, dtype=np.uint8)
    plain = saat.data.RetrievalData.from_tensors(train=split, test=split)
    got = relabelled(plain, label_map)[0]
    assert got.labels.dtype == np.uint8
    assert got.labels[got.train].tolist() == reference_data.mapped_labels(rows, pairs, target)


@pytest.mark.parametrize(
    "pairs",
    [
        {"cat": "animal", "dog": "animal", "car": "vehicle"},
        {0: 1, 1: 1, 2: 0},
        {"0": "1", "dog": 1, 2: "vehicle", "tree": None},
    ],
    ids=["names", "numbers", "as JSON has them, and mixed"],
)
def test_classes_go_by_name_or_by_number(pairs: dict[Any, Any]) -> None:
    label_map = parse_label_map({**PETS, "map": pairs}, "m.yaml")
    assert label_map.target_of.tolist() == [1, 1, 0, -1]


def test_numbers_are_names_where_none_are_given() -> None:
    label_map = parse_label_map({"source": 3, "target": 2, "map": {2: 0}}, "m.yaml")
    assert (label_map.source, label_map.target) == (("0", "1", "2"), ("0", "1"))
    assert label_map.target_of.tolist() == [-1, -1, 0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([1], ["keys source, target, map"]),
        (None, ["keys source, target, map"]),
        ({"source": 2, "map": {0: 0}}, ["keys source, target, map", "not source, map"]),
        ({**PETS, "classes": 3}, ["keys source, target, map", "classes"]),
        ({**PETS, "source": 0}, ["source: 0", "number of classes"]),
        ({**PETS, "source": True}, ["source: True"]),
        ({**PETS, "source": "cat"}, ["source: cat"]),
        ({**PETS, "target": []}, ["target: []"]),
        ({**PETS, "target": ["a", 1]}, ["target: ['a', 1]"]),
        ({**PETS, "target": ["a", "b", "a"]}, ["target: a: a name twice"]),
        (
            {**PETS, "target": ["1", "0"]},
            ["target: 1: a number that is not the position of its class"],
        ),
        ({**PETS, "map": 3}, ["map: 3"]),
        ({**PETS, "map": {}}, ["map: no class has a counterpart"]),
        ({**PETS, "map": {"cat": None}}, ["map: no class has a counterpart"]),
        ({**PETS, "map": {"cow": "animal"}}, ["map: cow: no such class", "0 to 3"]),
        ({**PETS, "map": {"cat": "beast"}}, ["map: cat: beast: no such class", "0 to 2"]),
        ({**PETS, "map": {4: 0}}, ["map: 4: no such class"]),
        ({**PETS, "map": {-1: 0}}, ["map: -1: no such class"]),
        ({**PETS, "map": {0: 3}}, ["map: 0: 3: no such class"]),
        ({**PETS, "map": {0: True}}, ["map: 0: True: no such class"]),
        ({**PETS, "map": {0: 1.0}}, ["map: 0: 1.0: no such class"]),
        ({**PETS, "map": {"cat": ["animal"]}}, ["map: cat: ['animal']: no such class"]),
        ({**PETS, "map": {"cat": 1, 0: 1}}, ["map: 0: this class is mapped twice"]),
        ({**PETS, "map": {"0": 1, 0: 1}}, ["map: 0: this class is mapped twice"]),
    ],
)
def test_mistakes_are_named(content: Any, expected: list[str]) -> None:
    message = input_error(lambda: parse_label_map(content, "pets.yaml"))
    assert message.startswith("pets.yaml: ")
    for part in expected:
        assert part in message


def toys(tmp_path: Path) -> saat.data.RetrievalData:
    """20 database images with class i mod 3, 10 of them train; 5 test with classes 0 and 2."""
    root = folder(tmp_path / "toys")
    return saat.data.RetrievalData.from_folder(
        root, image_size=8, val_queries=4, cache_dir=tmp_path / "cache"
    )


def three(pairs: dict[int, int], target: int = 2) -> LabelMap:
    return parse_label_map({"source": 3, "target": target, "map": pairs}, "m.yaml")


def test_a_relabelled_set_is_the_same_but_for_its_labels(tmp_path: Path) -> None:
    data = toys(tmp_path)
    mapped, sentence = relabelled(data, three({0: 1, 1: 0}))
    assert mapped.images is data.images
    assert mapped.classes == 2
    expected = [(int(i % 3 == 1), int(i % 3 == 0)) for i in range(20)] + [(0, 1)] * 5
    assert list(map(tuple, mapped.labels.tolist())) == expected
    for split in ("train", "database", "validation", "test"):
        assert np.array_equal(getattr(mapped, split), getattr(data, split))
    lost = int((data.validation % 3 == 2).sum())
    assert sentence == (
        "classes without counterpart: 2; rows without any label: train 3 of 10 (3 new), "
        f"database 6 of 20 (6 new), validation {lost} of 4 ({lost} new), test 0 of 5 (0 new)"
    )


def test_rows_that_never_had_a_label_are_not_new(tmp_path: Path) -> None:
    data = toys(tmp_path)
    once, _ = relabelled(data, three({0: 0, 1: 1}))
    two = parse_label_map({"source": 2, "target": 2, "map": {0: 0}}, "m.yaml")
    assert "database 13 of 20 (7 new)" in relabelled(once, two)[1]


def test_the_identity_tells_what_was_done(tmp_path: Path) -> None:
    data = toys(tmp_path)
    maps = [three({0: 0}), three({0: 1}), three({0: 0}, target=3), three({0: 0, 1: 0})]
    mapped = [relabelled(data, label_map)[0] for label_map in maps]
    assert len({data.fingerprint, *(one.fingerprint for one in mapped)}) == 5
    for one in mapped:
        assert one.label == f"{data.label}+map-{one.fingerprint[:8]}"
        assert one.lists_sha256 == data.lists_sha256
    assert relabelled(data, three({0: 0}))[0].fingerprint == mapped[0].fingerprint


def test_a_map_for_another_set_is_refused(tmp_path: Path) -> None:
    data = toys(tmp_path)
    message = input_error(lambda: relabelled(data, parse_label_map(PETS, "m.yaml")))
    assert f"source has 4 classes; {data.label} has 3" in message

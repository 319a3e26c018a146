from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saat.data import list_files
from saat.data.list_files import read_pair, read_single

from .samples import input_error, real


def pair(root: Path, images: bytes, labels: bytes) -> list_files.SplitList:
    (root / "train_img.txt").write_bytes(images)
    (root / "train_label.txt").write_bytes(labels)
    return read_pair(root / "train_img.txt", root / "train_label.txt")


def single(root: Path, text: bytes) -> list_files.SplitList:
    (root / "train.txt").write_bytes(text)
    return read_single(root / "train.txt")


def test_both_layouts_read_alike(tmp_path: Path) -> None:
    a = pair(tmp_path, b"a.jpg\nb/c d.jpg\n", b"0 1\n1 1\n")
    b = single(tmp_path, b"a.jpg 0 1\nb/c.jpg 1 1\n")
    assert a.paths == ["a.jpg", "b/c d.jpg"]
    assert b.paths == ["a.jpg", "b/c.jpg"]
    assert a.labels.tolist() == b.labels.tolist() == [[0, 1], [1, 1]]
    assert a.labels.dtype == np.uint8
    assert list(a.sha256) == ["train_img.txt", "train_label.txt"]
    assert list(b.sha256) == ["train.txt"]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (b"a.jpg\r\nb.jpg\r\n", b"0 1\r\n1 0\r\n"),
        (b"a.jpg\nb.jpg", b"0 1\n1 0"),
        (b"a.jpg\nb.jpg\n\n\n", b"0 1 \n1 0 \n \n"),
        (b"\xef\xbb\xbfa.jpg \n./b.jpg\n", b"0\t1\n 1  0\n"),
        (b"a.jpg\rb.jpg\r", b"0 1\r1 0 \r\r"),
        (b"a.jpg\rb.jpg", b"0 1\r\n1 0"),
    ],
    ids=["crlf", "no last newline", "empty at the end", "mark, tabs, ./", "cr", "cr alone"],
)
def test_harmless_variations_are_allowed(tmp_path: Path, images: bytes, labels: bytes) -> None:
    split = pair(tmp_path, images, labels)
    assert split.paths == ["a.jpg", "b.jpg"]
    assert split.labels.tolist() == [[0, 1], [1, 0]]


def test_a_line_separator_of_unicode_belongs_to_the_path(tmp_path: Path) -> None:
    assert pair(tmp_path, "a\u2028b.jpg\n".encode(), b"0 1\n").paths == ["a\u2028b.jpg"]


@pytest.mark.parametrize(
    ("images", "labels", "expected"),
    [
        (b"a.jpg\nb.jpg\nc.jpg\n", b"0 1\n1 0\n", ["train_img.txt:3:", "3 lines", "has 2"]),
        (b"a.jpg\n", b"0 1\n1 0\n", ["train_label.txt:2:", "1 line ", "has 2"]),
        (b"a.jpg\nb.jpg\n", b"0 1\n1 0 1\n", ["train_label.txt:2:", "3 labels", "line 1 has 2"]),
        (b"a.jpg\nb.jpg\n", b"0 1\n1\n", ["train_label.txt:2:", "1 label;"]),
        (b"a.jpg\nb.jpg\nc.jpg\n", b"0 1\n\n1 0\n", ["train_label.txt:2:", "0 labels"]),
        (b"a.jpg\nb.jpg\n", b"\n0 1\n", ["train_label.txt:1:", "no labels"]),
        (b"a.jpg\nb.jpg\n", b"0 1\n1 2\n", ["train_label.txt:2:", "'2'", "0 or 1"]),
        (b"a.jpg\nb.jpg\n", b"0 1\n10\n", ["train_label.txt:2:", "'10'", "0 or 1"]),
        (b"a.jpg\nb.jpg\n", b"0 1\n0 -1\n", ["train_label.txt:2:", "'-1'", "0 or 1"]),
        (b"a.jpg\nb.jpg\n", b"0 1\n0 1.0\n", ["train_label.txt:2:", "'1.0'", "0 or 1"]),
        (b"a.jpg\n", "\u0661 0\n".encode(), ["train_label.txt:1:", "0 or 1"]),
        (b"", b"", ["train_img.txt:1:", "empty"]),
        (b"a.jpg\n", b"\n\n", ["train_label.txt:1:", "empty"]),
        (b"a.jpg\n\nb.jpg\n", b"0 1\n1 0\n1 1\n", ["train_img.txt:2:", "empty line"]),
        (b"a.jpg\n/b.jpg\n", b"0 1\n1 0\n", ["train_img.txt:2:", "'/b.jpg'", "relative"]),
        (b"a.jpg\n//b.jpg\n", b"0 1\n1 0\n", ["train_img.txt:2:", "'//b.jpg'", "relative"]),
        (b"../a.jpg\n", b"0 1\n", ["train_img.txt:1:", "'../a.jpg'", "inside"]),
        (b"x/../../a.jpg\n", b"0 1\n", ["train_img.txt:1:", "inside"]),
        (b"a.jpg\n\xff\n", b"0 1\n1 0\n", ["train_img.txt:2:", "UTF-8"]),
        (b"a.jpg\n", b"0 1\xe9\n", ["train_label.txt:1:", "UTF-8"]),
        (b"a.jpg\rb.jpg\nc.jpg\n", b"0 1\n1 0\n", ["train_img.txt:1:", "carriage return"]),
        (b"a.jpg\nb.jpg\n", b"0 1\n1 0\r0 1\n", ["train_label.txt:2:", "must end alike"]),
        (b"a.jpg\n\xef\xbb\xbfb.jpg\n", b"0 1\n1 0\n", ["train_img.txt:2:", "byte order mark"]),
        ("a.jpg\n".encode("utf-16"), b"0 1\n", ["train_img.txt:1:", "UTF-8"]),
        ("a.jpg\n".encode("utf-16-le"), b"0 1\n", ["train_img.txt:1:", "NUL", "UTF-16"]),
        (b"a.jpg\n", b"0 1\n\0", ["train_label.txt:2:", "NUL"]),
    ],
)
def test_mistakes_name_file_and_line(
    tmp_path: Path, images: bytes, labels: bytes, expected: list[str]
) -> None:
    message = input_error(lambda: pair(tmp_path, images, labels))
    assert str(tmp_path) in message
    for part in expected:
        assert part in message


@pytest.mark.parametrize("labels", [b"0\n1\n", b"0\n0\n", b"3\n17\n", b"1\n3\n", b"0 \n1 \n"])
def test_class_indices_are_refused_with_what_to_write(tmp_path: Path, labels: bytes) -> None:
    message = input_error(lambda: pair(tmp_path, b"a.jpg\nb.jpg\n", labels))
    assert "train_label.txt:1: one label per line; " in message
    assert "class 2 of 0 to 3 is 0 0 1 0" in message
    first, second = labels.split(b"\n")[:2]
    message = input_error(
        lambda: single(tmp_path, b"a.jpg " + first + b"\nb c.jpg " + second + b"\n")
    )
    assert "train.txt:1: one label per line; " in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a.jpg\n", ["train.txt:1:", "no labels"]),
        (b"a.jpg 0 1\n\nb.jpg 0 1\n", ["train.txt:2:", "empty line"]),
        (b"a.jpg 0 1\nb.jpg 0\n", ["train.txt:2:", "1 label after"]),
        (b"a.jpg 0 1\nb c.jpg 0\n", ["train.txt:2:", "1 label after 'c.jpg'", "line 1 has 2"]),
        (b"a.jpg 0 1\nb.jpg 1 0 1\n", ["train.txt:2:", "3 labels after 'b.jpg'", "has 2"]),
        (b"a.jpg 0 1\nb 1 0 1\n", ["train.txt:2:", "3 labels after 'b'", "has 2"]),
        (b"a.jpg 0 1\nb.jpg 0 2\n", ["train.txt:2:", "'2'", "0 or 1"]),
        (b"a.jpg 0 1\nb.jpg 2 1\n", ["train.txt:2:", "1 label after '2'", "has 2"]),
        (b"a.jpg 0 1\nb.jpg 0 10\n", ["train.txt:2:", "'10'", "0 or 1"]),
        (b"a.jpg 0 x\n", ["train.txt:1:", "'x'", "0 or 1"]),
        (b"0 1\n", ["train.txt:1:", "no path"]),
        (b"a.jpg 0 1\n0 1\n", ["train.txt:2:", "no path"]),
        (b"a.jpg 0 1\nb.jpg\n", ["train.txt:2:", "no labels"]),
        (b"a.jpg 0 1\n../b c.jpg 0 1\n", ["train.txt:2:", "inside"]),
        (b"a.jpg 0 1\n/b c.jpg 0 1\n", ["train.txt:2:", "'/b c.jpg'", "relative"]),
    ],
)
def test_mistakes_in_the_one_file_layout(tmp_path: Path, text: bytes, expected: list[str]) -> None:
    message = input_error(lambda: single(tmp_path, text))
    for part in expected:
        assert part in message


def test_all_line_ends_are_read_in_the_one_file_layout(tmp_path: Path) -> None:
    for end in (b"\n", b"\r\n", b"\r"):
        split = single(tmp_path, b"a.jpg 0 1" + end + b"b.jpg 1 1" + end)
        assert split.paths == ["a.jpg", "b.jpg"]
        assert split.labels.tolist() == [[0, 1], [1, 1]]


def test_paths_with_spaces_in_the_one_file_layout(tmp_path: Path) -> None:
    text = b"my  photos/a 1.jpg 0 1\r\n  b 0 c.jpg\t1 1 \nd.jpg 0 0\n"
    split = single(tmp_path, text)
    assert split.paths == ["my  photos/a 1.jpg", "b 0 c.jpg", "d.jpg"]
    assert split.labels.tolist() == [[0, 1], [1, 1], [0, 0]]


@given(st.data())
def test_one_file_and_two_files_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    word = st.text("ab01. ", min_size=1, max_size=5).map(lambda text: f"{text.strip()}.jpg")
    width = data.draw(st.integers(2, 5))
    row = st.lists(st.sampled_from("01"), min_size=width, max_size=width)
    paths = data.draw(st.lists(word, min_size=1, max_size=6))
    labels = [" ".join(data.draw(row)) for _ in paths]
    folder = tmp_path_factory.mktemp("lists")
    lines = zip(paths, labels, strict=True)
    one = single(folder, "".join(f"{p} {label}\n" for p, label in lines).encode())
    two = pair(
        folder,
        "".join(f"{path}\n" for path in paths).encode(),
        "".join(f"{label}\n" for label in labels).encode(),
    )
    assert one.paths == two.paths
    assert np.array_equal(one.labels, two.labels)


def test_the_first_bad_line_is_named(tmp_path: Path) -> None:
    message = input_error(lambda: pair(tmp_path, b"a\nb\nc\nd\n", b"0 1\n1 1\n0\n2 2\n"))
    assert "train_label.txt:3:" in message


def test_an_unreadable_list_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.txt").mkdir()
    message = input_error(lambda: read_single(tmp_path / "train.txt"))
    assert f"{tmp_path / 'train.txt'}: cannot be read" in message


@given(st.data())
def test_labels_survive_any_spacing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    width = data.draw(st.integers(2, 6))
    rows = data.draw(
        st.lists(
            st.lists(st.integers(0, 1), min_size=width, max_size=width), min_size=1, max_size=9
        )
    )
    space = st.sampled_from([" ", "  ", "\t", " \t "])
    text = "".join("".join(f"{data.draw(space)}{v}" for v in row) + " \r\n" for row in rows)
    paths = "".join(f"{i}.jpg\n" for i in range(len(rows)))
    split = pair(tmp_path_factory.mktemp("lists"), paths.encode(), text.encode())
    assert split.labels.tolist() == rows


@pytest.mark.parametrize(
    ("data_set", "split", "shape"),
    [
        ("FLICKR-25K", "train", (5000, 38)),
        ("FLICKR-25K", "test", (1700, 38)),
        ("FLICKR-25K", "database", (23300, 38)),
        ("NUS-WIDE", "train", (10500, 21)),
        ("NUS-WIDE", "test", (2100, 21)),
        ("MS-COCO", "train", (10000, 80)),
        ("MS-COCO", "test", (5000, 80)),
    ],
)
def test_the_published_lists_parse(data_set: str, split: str, shape: tuple[int, int]) -> None:
    folder = real("protocols") / data_set
    got = read_pair(folder / f"{split}_img.txt", folder / f"{split}_label.txt")
    plain = np.loadtxt(folder / f"{split}_label.txt", dtype=np.uint8)
    assert got.labels.shape == shape
    assert np.array_equal(got.labels, plain)
    assert len(got.paths) == shape[0]

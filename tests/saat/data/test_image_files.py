import os
import shutil
from pathlib import Path

import pytest

from saat.data.folder import cache_key
from saat.data.layouts import read_lists

from .samples import folder, input_error, noise_image, splits, write_pairs


def key(root: Path, image_size: int = 8, resize: str = "squash") -> str:
    return cache_key(read_lists(root), image_size, resize)[0]


def test_the_key_sees_files_and_settings(tmp_path: Path) -> None:
    root = folder(tmp_path)
    base = key(root)
    assert base == key(root)
    keys = {base, key(root, image_size=9), key(root, resize="crop")}
    os.utime(root / "images/d3.png", ns=(5, 5))
    keys.add(key(root))
    noise_image(20, 20).save(root / "images/d3.png")
    os.utime(root / "images/d3.png", ns=(5, 5))
    keys.add(key(root))
    assert len(keys) == 5


def equal_stamps(file: Path, other: Path) -> None:
    """Give ``other`` the times of ``file``, as ``touch -r`` does."""
    status = file.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_folders_of_equal_names_sizes_and_times_have_keys_of_their_own(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    other = tmp_path / "other"
    shutil.copytree(root, other, copy_function=os.link)
    assert (root / "images/d0.png").stat().st_ctime_ns == (
        other / "images/d0.png"
    ).stat().st_ctime_ns
    assert key(root) != key(other)


def test_an_image_replaced_under_its_old_size_and_time_changes_the_key(tmp_path: Path) -> None:
    root = folder(tmp_path)
    before = key(root)
    content = (root / "images/d0.png").read_bytes()
    shutil.copy2(root / "images/d0.png", tmp_path / "stamp")
    (root / "images/d0.png").write_bytes(content[:-1] + b"x")
    equal_stamps(tmp_path / "stamp", root / "images/d0.png")
    assert key(root) != before


def test_the_key_stays_while_nothing_is_written(tmp_path: Path) -> None:
    root = folder(tmp_path)
    before = key(root)
    for file in (root / "images").iterdir():
        file.read_bytes()
    assert key(root) == before


def test_labels_do_not_change_the_key(tmp_path: Path) -> None:
    root = folder(tmp_path)
    base = key(root)
    content = splits()
    content["test"] = [(path, "0 0 0") for path, _ in content["test"]]
    assert key(write_pairs(root, content)) == base


def test_a_missing_image_names_list_and_line(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "images/d7.png").unlink()
    (root / "images/t1.png").unlink()
    message = input_error(lambda: key(root))
    assert message == f"{root}/database_img.txt:8: image {root}/images/d7.png: no such file"


def test_a_folder_as_image_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "images/t1.png").unlink()
    (root / "images/t1.png").mkdir()
    assert input_error(lambda: key(root)).startswith(f"{root}/test_img.txt:2: image")


def test_a_path_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path)
    content = splits()
    content["test"][1] = (f"images/{'x' * 300}.png", "1 0 1")
    message = input_error(lambda: key(write_pairs(root, content)))
    assert f"{root}/test_img.txt:2: image" in message


@pytest.mark.parametrize("link", ["file", "folder"])
def test_links_cannot_leave_the_folder(tmp_path: Path, link: str) -> None:
    root = folder(tmp_path / "set")
    if link == "file":
        (root / "images/d2.png").rename(tmp_path / "outside.png")
        (root / "images/d2.png").symlink_to(tmp_path / "outside.png")
    else:
        (root / "images").rename(tmp_path / "outside")
        (root / "images").symlink_to(tmp_path / "outside")
    message = input_error(lambda: key(root))
    assert f"{root}/database_img.txt:{3 if link == 'file' else 1}: image" in message
    assert f"{tmp_path}/outside" in message
    assert "must lie inside" in message


def test_links_within_the_folder_are_allowed(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    (root / "images/d2.png").rename(root / "other.png")
    (root / "images/d2.png").symlink_to(root / "other.png")
    (tmp_path / "link").symlink_to(root)
    assert key(root) == key(tmp_path / "link")


def test_a_link_to_nothing_is_a_missing_image(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    (root / "images/d2.png").unlink()
    (root / "images/d2.png").symlink_to("nowhere.png")
    assert "database_img.txt:3:" in input_error(lambda: key(root))

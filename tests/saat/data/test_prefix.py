"""Lists whose paths begin on somebody else's machine."""

import re
import subprocess
from pathlib import Path

import pytest

from saat.data import RetrievalData
from saat.data.layouts import read_lists
from saat.data.list_files import prefix_hint

from .samples import Split, input_error, splits, write_images, write_singles


def load(root: Path, cache: Path) -> RetrievalData:
    return RetrievalData.from_folder(root, image_size=8, val_queries=2, cache_dir=cache)


def prefixed(prefix: str) -> dict[str, Split]:
    return {
        name: [(prefix + path, label) for path, label in rows] for name, rows in splits().items()
    }


@pytest.mark.parametrize("prefix", ["/home/someone/data/coco/", "./data/coco/", "data/coco/"])
def test_the_command_in_the_message_repairs_the_lists(tmp_path: Path, prefix: str) -> None:
    root = tmp_path / "coco"
    write_images(root, splits())
    write_singles(root, prefixed(prefix))
    cache = tmp_path / "cache"
    message = input_error(lambda: load(root, cache))
    assert "it is here as 'images/d0.png'" in message
    assert f"{root / 'database.txt'}:1:" in message
    command = re.search(r"sed -i '[^']*' \*\.txt", message)
    assert command is not None
    subprocess.run(command.group(), shell=True, cwd=root, check=True)
    plain = read_lists(write_singles(tmp_path / "plain", splits()))
    assert read_lists(root).content_sha256 == plain.content_sha256
    assert load(root, cache).classes == 3


def test_an_absolute_path_that_is_nowhere_here_gets_no_command(tmp_path: Path) -> None:
    write_singles(tmp_path, prefixed("/home/someone/"))
    message = input_error(lambda: read_lists(tmp_path))
    assert "absolute path '/home/someone/images/d0.png'; must be relative to the folder" in message
    assert "sed" not in message


@pytest.mark.parametrize(
    "listed", ["/a/../images/d0.png", "/" + "x" * 300 + "/y", "/a/\0/b", "/", ""]
)
def test_odd_paths_get_no_command(tmp_path: Path, listed: str) -> None:
    write_images(tmp_path, splits())
    assert prefix_hint(tmp_path, listed) == ""

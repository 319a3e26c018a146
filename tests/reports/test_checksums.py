"""JSON files with checksums: what is read is what was written, or one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from reports.checksums import read_json, with_checksum
from saat.errors import InputError

CONTENT: dict[str, Any] = {"host": "a", "metrics": {"map": 0.5}, "history": [{"epoch": 1}]}


def nested(levels: int) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for _ in range(levels - 1):
        content = {"below": content}
    return content


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    for content in (CONTENT, nested(12)):
        path.write_text(json.dumps(with_checksum(content), indent=1))
        assert read_json(path) == content
        path.write_text(json.dumps(content))
        assert read_json(path) == content, "earlier versions wrote no checksum"


def test_other_content_than_that_of_the_checksum_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    written = {**with_checksum(CONTENT), "host": "b"}
    path.write_text(json.dumps(written))
    with pytest.raises(InputError, match=r"result\.json: damaged: the checksum does not match"):
        read_json(path)
    assert read_json(path, verified=False) == {**CONTENT, "host": "b"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[1]", "not a mapping of at most 12 levels"),
        ("null", "not a mapping of at most 12 levels"),
        (json.dumps(nested(13)), "not a mapping of at most 12 levels"),
        (
            json.dumps({"list": json.loads("[" * 13 + "]" * 13)}),
            "not a mapping of at most 12 levels",
        ),
        ('{"a": ' + "[" * 100_000, "damaged: "),
        ("{", "damaged: "),
        ("", "damaged: "),
        ("\ud800", "damaged: "),
    ],
)
def test_what_we_never_write_is_damage_in_one_line(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(InputError, match=named) as refused:
        read_json(path)
    assert str(refused.value).startswith(f"{path}: damaged: ")
    assert len(str(refused.value).splitlines()) == 1


def test_what_is_no_file_of_its_own_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with pytest.raises(InputError, match="no such file"):
        read_json(path)
    (tmp_path / "other").write_text(json.dumps(CONTENT))
    path.symlink_to(tmp_path / "other")
    with pytest.raises(InputError, match="a link, not a file"):
        read_json(path)

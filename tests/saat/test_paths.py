import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import saat
from saat.errors import InputError
from saat.paths import file_name, user_path


def test_a_home_folder_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/of/me")
    assert user_path("~/x") == Path("/home/of/me/x")
    assert user_path("a/~b") == Path("a/~b")
    assert user_path(Path("a")) == Path("a")


@pytest.mark.parametrize("given_", [3, None, 1.5, b"x", ["x"]])
def test_what_is_no_path_is_told_as_a_file_that_is_not_there(given_: Any) -> None:
    with pytest.raises(InputError, match=re.escape(f"{given_}: not a folder")):
        saat.RetrievalData.from_folder(given_, image_size=16)
    with pytest.raises(InputError, match="no such file"):
        saat.load(given_)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'': a path is not empty"),
        ("a\0b", "a\\x00b: no path has a NUL character"),
        ("\udcff", "\\udcff: not UTF-8"),
        ("~nosuchuser/x", "~nosuchuser/x: there is no such user, or no home folder"),
        ("é" * 128, "…: a name of 256 bytes; at most 255"),
        ("a/" * 2000, "…: a path of 4000 bytes; at most 3840"),
    ],
)
def test_what_no_file_can_be_called_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        user_path(text, "data.path:")
    (fault,) = caught.value.faults
    assert fault.startswith("data.path: ")
    assert said in fault
    assert len(fault) < 130
    if not text.startswith("~"):
        with pytest.raises(InputError, match=re.escape(said)):
            file_name(text)


def test_a_path_is_too_long_with_its_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/" + "home/" * 100)
    assert user_path("~/x")
    with pytest.raises(InputError, match="a path of 3902 bytes; at most 3840"):
        user_path("~/" + "a/" * 1701)


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="symbolic links"):
        user_path(tmp_path / "loop" / "x")


def test_a_file_above_is_not_the_paths_own_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert user_path(tmp_path / "file" / "x") == tmp_path / "file" / "x"


@given(st.text(max_size=300))
def test_any_text_is_a_path_or_one_line(text: str) -> None:
    said = ""
    try:
        user_path(text)
    except InputError as error:
        said = str(error)
    assert said.isprintable()

"""Paths as a user writes them, wherever one enters: an option, a key of a file, a variable."""

from pathlib import Path

from saat.errors import InputError, one_line

_NAME_BYTES = 255  # of a file's name, on every common file system
_PATH_BYTES = 3840  # Linux takes 4,095; the files below a folder need the rest
_SHOWN = 60  # characters of a path in a message


def user_path(text: str | Path, where: str = "", look: bool = True) -> Path:
    """``text`` as a path, with ``~`` and ``~user`` expanded; nothing has to be there.

    ``where`` precedes it in an error, for example ``data.path:``. With ``look`` the operating
    system is asked about it, too.

    Raises:
        InputError: No such user, or a path that no file can have here.
    """
    written = file_name(str(text), where)  # also of what is no path at all, and then not there
    try:
        path = Path(written).expanduser()
    except RuntimeError:
        raise _fault(where, written, "there is no such user, or no home folder") from None
    if problem := _problem(str(path)) or (_refused(path) if look else None):
        raise _fault(where, written, problem)
    return path


def file_name(text: str, where: str = "") -> str:
    """``text`` as the name of one file or folder; an ``InputError`` if none can have it."""
    if problem := _problem(text):
        raise _fault(where, text, problem)
    return text


def _fault(where: str, text: str, problem: str) -> InputError:
    return InputError(f"{where} {one_line(text, _SHOWN) or repr(text)}: {problem}".lstrip())


def _problem(text: str) -> str | None:
    """Why no file system can store a path."""
    if not text:
        return "a path is not empty"
    if "\0" in text:
        return "no path has a NUL character"
    try:
        stored = text.encode()
    except UnicodeEncodeError:
        return "not UTF-8"
    longest = max(map(len, stored.split(b"/")))
    if longest > _NAME_BYTES:
        return f"a name of {longest} bytes; at most {_NAME_BYTES}"
    if len(stored) > _PATH_BYTES:
        return f"a path of {len(stored)} bytes; at most {_PATH_BYTES}"
    return None


def _refused(path: Path) -> str | None:
    """Why the operating system refuses to look there; None also where nothing is there."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return str(error.strerror)
    return None

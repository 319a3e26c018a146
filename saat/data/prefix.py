"""Listed paths that begin on somebody else's machine, as HashNet's published lists do."""

from contextlib import suppress
from pathlib import Path, PurePosixPath


def prefix_hint(file: Path, listed: str) -> str:
    """How to repair a list whose paths begin with a folder that is not here.

    HashNet's lists say ``/home/…/coco/val2014/x.jpg`` or ``./data/nuswide_81/images/x.jpg``.
    Where the end of such a path is a file below the list's own folder, what stands before it has
    to go from every line.

    Args:
        file: The list.
        listed: The path as the list gives it.

    Returns:
        The end of an error message, or an empty string where no end of the path is a file here.
    """
    parts = PurePosixPath(listed).parts
    for start in range(1, len(parts)):
        rest = PurePosixPath(*parts[start:])
        with suppress(OSError, ValueError):  # a name too long, a NUL byte
            if ".." not in parts and (file.parent / rest).is_file():
                prefix = str(PurePosixPath(*parts[:start])).strip("/")
                end = f"{prefix}/" if prefix else ""
                return (
                    f"; it is here as {str(rest)!r}: shorten every line, "
                    f"sed -i 's#^[./]*{end}##' *.txt"
                )
    return ""

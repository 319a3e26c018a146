"""Check that the image files of a folder of lists exist, and whether they have changed."""

import hashlib
import os
import stat
from functools import cache
from pathlib import Path

from saat.data.layouts import Lists
from saat.data.list_files import prefix_hint
from saat.errors import InputError, one_line


def cache_key(lists: Lists, image_size: int, resize: str) -> tuple[str, int]:
    """Compute the cache key of decoded images from files and settings; no file is opened.

    It is the SHA-256 of the folder's real path and, per image in order, of path, size, ``mtime``
    and ``ctime``. No program can set ``ctime``, so files that were replaced under an old ``mtime``
    get another key. Inode and device numbers are left out, because they change with every mount of
    network and user-space file systems.

    Returns:
        The key, and the bytes of all image files together.

    Raises:
        InputError: An image is missing, is not a file, or is a link that leaves the folder.
    """
    root = lists.root.resolve()

    @cache  # many images, few folders
    def is_inside(folder: Path) -> bool:
        return folder.resolve().is_relative_to(root)

    digest = hashlib.sha256(b"files %d %s %s\0" % (image_size, resize.encode(), os.fsencode(root)))
    total = 0
    for path, origin in zip(lists.paths, lists.origins, strict=True):
        file = lists.root / path
        try:
            status = file.lstat()
            is_link = stat.S_ISLNK(status.st_mode)
            status = file.stat() if is_link else status
        except OSError as error:  # no such file, a name too long, links in a circle
            is_missing = isinstance(error, FileNotFoundError)
            problem = (
                f"no such file{prefix_hint(lists.root, path)}" if is_missing else one_line(error)
            )
            raise InputError(f"{origin}: image {one_line(file)}: {problem}") from error
        if not (is_inside(file.parent) and (not is_link or is_inside(file))):
            raise InputError(
                f"{origin}: image {file}: a link leads to {file.resolve()}, outside the folder; "
                "images must lie inside it"
            )
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{origin}: image {file}: not a file")
        facts = (path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, "")
        digest.update("\0".join(map(str, facts)).encode())
        total += status.st_size
    return digest.hexdigest(), total

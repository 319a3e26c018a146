"""Identity of lists and label maps, as plainly as their definitions; nothing here imports saat."""

import hashlib
import posixpath


def content_sha256(paths: list[str], rows: list[list[int]]) -> str:
    """SHA-256 of the list in the one-file layout."""
    lines = [
        f"{posixpath.normpath(path)} {' '.join(str(value) for value in row)}\n"
        for path, row in zip(paths, rows, strict=True)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def mapped_labels(rows: list[list[int]], pairs: dict[int, int], classes: int) -> list[list[int]]:
    """Label vectors of another set, class by class."""
    out = []
    for row in rows:
        target = [0] * classes
        for source, value in enumerate(row):
            if value and source in pairs:
                target[pairs[source]] = 1
        out.append(target)
    return out

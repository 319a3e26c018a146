"""Reports whose pictures are left empty, which take most of the time that a report takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from matplotlib.figure import Figure


@contextmanager
def left_empty() -> Iterator[None]:
    """For tests in which the text of reports counts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "draw_without_rendering", lambda _self: None)
        patch.setattr(Figure, "savefig", lambda _self, file, **_options: _touch(file))
        yield


def _touch(file: object) -> None:
    if isinstance(file, Path):
        file.write_bytes(b"")

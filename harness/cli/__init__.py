"""The command ``saat``."""

from harness.cli import runs, subjects
from harness.cli.common import app

__all__ = ["app", "runs", "subjects"]

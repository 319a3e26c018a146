"""The command ``saat``."""

from harness.cli import cluster, runs, subjects
from harness.cli.common import app

__all__ = ["app", "cluster", "runs", "subjects"]

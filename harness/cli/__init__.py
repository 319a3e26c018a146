"""The command ``saat``."""

from harness.cli import evaluation, runs
from harness.cli.common import app

__all__ = ["app", "evaluation", "runs"]

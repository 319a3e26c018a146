"""The command ``saat``."""

from harness.cli import cluster, evaluation, reproduce, runs
from harness.cli.common import app

__all__ = ["app", "cluster", "evaluation", "reproduce", "runs"]

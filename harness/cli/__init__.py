"""The command ``saat``."""

from harness.cli import cluster, evaluation, leaderboard, runs
from harness.cli.common import app

__all__ = ["app", "cluster", "evaluation", "leaderboard", "runs"]

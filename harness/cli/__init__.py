"""The command ``saat``."""

from harness.cli import evaluation, leaderboard, runs
from harness.cli.common import app

__all__ = ["app", "evaluation", "leaderboard", "runs"]

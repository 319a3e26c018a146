"""The command ``saat``."""

from harness.cli import evaluation, leaderboard, reproduce, runs
from harness.cli.common import app

__all__ = ["app", "evaluation", "leaderboard", "reproduce", "runs"]

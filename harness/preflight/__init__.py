"""``saat preflight``: is every node ready for a search? Nothing of it is left behind."""

from harness.preflight.command import Outcome, preflight

__all__ = ["Outcome", "preflight"]

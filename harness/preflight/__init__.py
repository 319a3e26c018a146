"""``saat preflight``: checks that every node is ready for a search, and leaves nothing behind."""

from harness.preflight.command import Outcome, preflight

__all__ = ["Outcome", "preflight"]

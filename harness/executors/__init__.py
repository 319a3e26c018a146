"""Executors: Ray Tune, and the same interface within one process."""

from harness.executors.executor import Executor, SearchStopped

__all__ = ["Executor", "SearchStopped"]

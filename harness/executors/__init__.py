"""Executors: Ray Tune, and the same interface within one process."""

from harness.executors.executor import Executor

__all__ = ["Executor"]

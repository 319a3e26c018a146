"""Faults of Ray's processes on this machine."""

import time
from collections.abc import Callable

from tests.chaos.bench import Bench
from tests.chaos.faults import Fault
from tests.chaos.processes import Process, kill, marked

_APPEARS_S = 15  # workers come and go


def is_actor(process: Process) -> bool:
    """Whether it runs a trial."""
    return "ImplicitFunc" in process.title


def is_agent(process: Process) -> bool:
    """Whether it serves a raylet, which ends with it."""
    return process.title.startswith("ray::") and process.title.partition(" ")[0].endswith("Agent")


def is_worker(process: Process) -> bool:
    """Whether it is a worker of Ray that runs no trial."""
    # A raylet's own command names the workers' program too.
    worker = process.title.startswith("ray::") or "default_worker.py" in process.title
    return worker and not any(is_(process) for is_ in (is_actor, is_agent, is_raylet))


def is_raylet(process: Process) -> bool:
    """Whether it is a node's raylet."""
    return "/raylet/raylet" in process.title.partition(" ")[0]


def is_head(process: Process) -> bool:
    """Whether it is the head's control service."""
    return process.title.partition(" ")[0].endswith("gcs_server")


class _ProcessKilled(Fault):
    """SIGKILL of one process."""

    wanted: Callable[[Process], bool]
    statuses: tuple[int, ...] = ()  # of the driver

    def strike(self, bench: Bench) -> None:
        """One of those there are, by chance."""
        if not bench.reach(self.moment):
            return
        until = time.monotonic() + _APPEARS_S
        while not (found := self._found(bench)) and bench.alive and time.monotonic() < until:
            time.sleep(0.05)
        if found:
            bench.note(self.kind, self.moment)
            bench.expect(*self.statuses)
            kill(self.chance.choice(sorted(found, key=lambda process: process.pid)))

    def _found(self, bench: Bench) -> list[Process]:
        return [process for process in marked(bench.mark) if type(self).wanted(process)]


class ActorKilled(_ProcessKilled):
    """The worker of a trial."""

    kind = "trial actor killed"
    wanted = staticmethod(is_actor)


class WorkerKilled(_ProcessKilled):
    """A worker process that waits for work."""

    kind = "Ray worker killed"
    wanted = staticmethod(is_worker)


class RayletKilled(_ProcessKilled):
    """The raylet of the only node."""

    kind = "raylet killed"
    wanted = staticmethod(is_raylet)
    statuses = (1,)


class AgentKilled(_ProcessKilled):
    """A process that the raylet of the only node does not outlive."""

    kind = "raylet's agent killed"
    wanted = staticmethod(is_agent)
    statuses = (1,)


class HeadKilled(_ProcessKilled):
    """The control service of the only node."""

    kind = "head killed"
    wanted = staticmethod(is_head)
    statuses = (1,)


FAULTS: tuple[type[Fault], ...] = (
    ActorKilled,
    WorkerKilled,
    RayletKilled,
    AgentKilled,
    HeadKilled,
)

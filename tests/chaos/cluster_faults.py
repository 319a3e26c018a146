"""Faults of machines: three hosts in namespaces, a head without places, two workers with one."""

import random
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.chaos.bench import Bench
from tests.chaos.faults import Fault
from tests.chaos.processes import MARK
from tests.chaos.setup import Needs
from tests.cluster.hosts import Hosts

WORKERS = (1, 2)


class ClusterBench(Bench):
    """A search on a Ray cluster of several hosts; the driver is on the head's."""

    def __init__(self, folder: Path, needs: Needs, chance: random.Random) -> None:
        super().__init__(folder, "ray", needs, chance)
        self.hosts = Hosts(1 + len(WORKERS), folder.parent)
        self.hosts.__enter__()
        kept = (MARK, "SPT_NOENV", "SAAT_CACHE", "RAY_gcs_rpc_server_reconnect_timeout_s")
        self.hosts.environment |= {name: self.environment[name] for name in kept}
        self.start_cluster()

    def start_cluster(self) -> None:
        """The head, then the workers."""
        self.address = self.hosts.start_head()
        for host in WORKERS:
            self.hosts.start_worker(host)

    def launch(self, command: list[str], **popen: Any) -> "subprocess.Popen[bytes]":
        """The driver runs beside the head."""
        del popen["env"], popen["cwd"]
        return self.hosts.run(0, command, **popen)

    def close(self) -> None:
        """The hosts first: what runs on them ends with them."""
        self.hosts.__exit__(None, None, None)
        super().close()


class _OfAHost(Fault):
    """Strikes one of the workers' hosts."""

    def strike(self, bench: Bench) -> None:
        """Strike, and give the cluster its worker back."""
        assert isinstance(bench, ClusterBench)
        if not bench.reach(self.moment):
            return
        host = self.chance.choice(WORKERS)
        bench.note(self.kind, f"{self.moment}, host {host}")
        self.hit(bench.hosts, host)

    def hit(self, hosts: Hosts, host: int) -> None:
        """What happens to it."""
        raise NotImplementedError


class NodeKilled(_OfAHost):
    """Every process of a node dies at once, and its memory with them."""

    kind = "node killed"

    def hit(self, hosts: Hosts, host: int) -> None:
        """A new one comes after a while."""
        hosts.kill(host)
        time.sleep(self.chance.uniform(0, 10))
        hosts.start_worker(host)


class NodeCutOff(_OfAHost):
    """The network of a node is cut and restored: its workers live on meanwhile."""

    kind = "network of a node cut"

    def hit(self, hosts: Hosts, host: int) -> None:
        """Shorter or longer than it takes to count as lost; one that was lost joins anew."""
        away = self.chance.uniform(2, 30)
        hosts.cut(host)
        time.sleep(away)
        hosts.restore(host)
        time.sleep(5)  # a raylet that was given up ends by itself
        if not any("/raylet " in title for title in hosts.processes(host).values()):
            hosts.start_worker(host)


class RayletOfNodeKilled(_OfAHost):
    """The raylet of a node dies under its workers."""

    kind = "raylet of a node killed"

    def hit(self, hosts: Hosts, host: int) -> None:
        """A new one comes after a while."""
        hosts.kill_raylet(host)
        time.sleep(self.chance.uniform(0, 10))
        hosts.start_worker(host)


class HeadHostKilled(Fault):
    """The host of head and driver dies; the workers' hosts live on without a head."""

    kind = "host of the head killed"

    def strike(self, bench: Bench) -> None:
        """A new head, and new raylets beside whatever lives on."""
        assert isinstance(bench, ClusterBench)
        if not bench.reach(self.moment):
            return
        bench.expect(137)
        bench.note(self.kind, self.moment)
        bench.hosts.kill(0)
        bench.wait()
        bench.start_cluster()


FAULTS: tuple[type[Fault], ...] = (NodeKilled, NodeCutOff, RayletOfNodeKilled, HeadHostKilled)

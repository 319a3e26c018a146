"""Several machines on one: network namespaces on a bridge, a Ray node in each.

Every host has its own address, name, processes and ``/tmp``; one folder is shared storage. The
namespaces have no names and end with the processes in them, so nothing is left behind, whatever
happens to the test, and suites can run side by side.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parent.parent.parent
_PROGRAM = Path(__file__).with_name("namespaces.py")
_PORT = 6379
_STARTS_WITHIN_S = 300
# How soon a host that was cut off counts as lost: about 10 s instead of about a minute.
_HEALTH = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
}


class Hosts:
    """Hosts that can be cut off and killed; all of it ends with the context.

    Args:
        count: how many; host 0 is where the head runs.
        shared: the folder that all of them see; everything else in ``/tmp`` is a host's own.

    Attributes:
        environment: of every process on a host; change it before starting Ray.
    """

    def __init__(self, count: int, shared: Path) -> None:
        self.shared = shared.resolve()
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("RAY_")},
            **_HEALTH,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "SAAT_CACHE": "/tmp/saat-cache",
            "OMP_NUM_THREADS": "1",
        }
        number = os.getpid()
        self._net = f"10.{100 + number // 250 % 100}.{1 + number % 250}"
        self._makers: dict[int, subprocess.Popen[str]] = {}  # of the hosts; -1 is the switch
        self.first: dict[int, int] = {}  # first process of each
        self._count = count
        self._started: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> "Hosts":
        try:
            self._boot(-1)
            self._switch("ip", "link", "add", "br0", "type", "bridge")
            self._switch("ip", "link", "set", "br0", "up")
            for host in range(self._count):
                self._boot(host)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def address(self, host: int) -> str:
        """A host's IP address."""
        return f"{self._net}.{host + 1}"

    def start_head(self, num_cpus: int = 0, *arguments: str) -> str:
        """Start Ray's head on host 0, without places for trials unless told; its address."""
        if 0 not in self.first:
            self._boot(0)
        self._ray(
            0, num_cpus, "--head", f"--port={_PORT}", "--include-dashboard=false",
            "--disable-usage-stats", *arguments,
        )  # fmt: skip
        return f"{self.address(0)}:{_PORT}"

    def start_worker(self, host: int, cpus: int = 1) -> None:
        """Start a worker node; a host that was killed is started anew first."""
        if host not in self.first:
            self._boot(host)
        self._ray(host, cpus, f"--address={self.address(0)}:{_PORT}")

    def cut(self, host: int) -> None:
        """Pull the host's network cable: packets vanish, nobody is told."""
        self._switch("ip", "link", "set", f"port{host}", "nomaster")

    def restore(self, host: int) -> None:
        """Plug it in again."""
        self._switch("ip", "link", "set", f"port{host}", "master", "br0")

    def kill(self, host: int) -> None:
        """SIGKILL every process of a host, and forget its memory and its own files."""
        # The kernel kills everything in a PID namespace whose first process dies.
        os.kill(self.first.pop(host), signal.SIGKILL)
        self._makers.pop(host).wait()

    def kill_raylet(self, host: int) -> None:
        """SIGKILL the raylet of a host; its workers live until they notice."""
        pids = [pid for pid, title in self.processes(host).items() if "/raylet " in title]
        assert pids, f"no raylet on host {host}"
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def processes(self, host: int) -> dict[int, str]:
        """Command lines of a host's processes by their ids outside."""
        found = {}
        space = Path(f"/proc/{self.first[host]}/ns/pid").readlink()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended meanwhile
                if (folder / "ns" / "pid").readlink() == space:
                    title = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(folder.name)] = title.decode(errors="replace").strip()
        return found

    def run(self, host: int, command: list[str], **popen: Any) -> "subprocess.Popen[Any]":
        """Start a command inside a host, in the project's folder.

        Signals to the process reach the command; killed, it takes the command with it. ``env``
        adds to :attr:`environment`.
        """
        environment = {**self.environment, **popen.pop("env", {})}
        options: dict[str, Any] = {"cwd": ROOT, **popen}
        entered = [sys.executable, str(_PROGRAM), "enter", str(self.first[host]), *command]
        process = subprocess.Popen(entered, env=environment, **options)
        self._started.append(process)
        return process

    def _ray(self, host: int, cpus: int, *arguments: str) -> None:
        """``ray start`` on a host; returns when the node is up."""
        ray = Path(sys.executable).with_name("ray")
        command = [
            str(ray), "start", *arguments, f"--node-ip-address={self.address(host)}",
            f"--num-cpus={cpus}", "--num-gpus=0", f"--object-store-memory={100 * 10**6}",
        ]  # fmt: skip
        # A file: Ray's processes inherit it, and would keep a pipe open.
        with tempfile.TemporaryFile("w+") as output:
            process = self.run(host, command, stdout=output, stderr=output)
            status = process.wait(_STARTS_WITHIN_S)
            output.seek(0)
            if status != 0:
                raise RuntimeError(f"host {host}: ray start: {output.read()[-2000:]}")

    def _boot(self, host: int) -> None:
        """Make a host and plug it in; -1 makes the switch."""
        folders = {str(self.shared), str(ROOT), str(Path(sys.prefix).resolve())}
        name = "switch" if host < 0 else f"host-{host}"
        command = [sys.executable, str(_PROGRAM), "make", name, *sorted(folders)]
        maker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._makers[host] = maker
        assert maker.stdout is not None
        first = maker.stdout.readline()
        if not first:
            _, error = maker.communicate()
            raise RuntimeError(f"no namespaces here: {(error.strip().splitlines() or [''])[-1]}")
        self.first[host] = int(first)
        if host < 0:
            return
        with suppress(RuntimeError):  # a killed host's: the kernel takes its time
            self._switch("ip", "link", "delete", f"port{host}")
        inside = ["nsenter", "--target", first.strip(), "--net"]
        self._switch(
            "ip", "link", "add", f"port{host}", "type", "veth",
            "peer", "name", "eth0", "netns", first.strip(),
        )  # fmt: skip
        self._switch("ip", "link", "set", f"port{host}", "master", "br0", "up")
        _do([*inside, "ip", "address", "add", f"{self.address(host)}/24", "dev", "eth0"])
        _do([*inside, "ip", "link", "set", "eth0", "up"])
        # Leads nowhere; Ray finds a machine's own address by asking for the way to the internet.
        _do([*inside, "ip", "route", "add", "default", "dev", "eth0"])

    def _switch(self, *command: str) -> None:
        """Run a command in the network that connects the hosts."""
        _do(["nsenter", "--target", str(self.first[-1]), "--net", *command])

    def _end(self) -> None:
        for host in list(self.first):
            self.kill(host)
        for process in [*self._makers.values(), *self._started]:
            process.kill()
            process.wait()


def _do(command: list[str]) -> None:
    """Run a short command.

    Raises:
        RuntimeError: it failed; what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


@cache
def unavailable() -> str | None:
    """Why hosts cannot be made here, or None: for skips."""
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root"
    for tool in ("ip", "nsenter", "mount"):
        if shutil.which(tool) is None:
            return f"needs the command {tool}"
    try:
        with tempfile.TemporaryDirectory() as folder, Hosts(2, Path(folder)) as hosts:
            shared = Path(folder) / "shared"
            entered = hosts.run(1, ["touch", str(shared)]).wait(30) == 0 and shared.exists()
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if entered else "a process in a namespace cannot write into a shared folder"

"""A program that is, or enters, a machine of its own: Linux namespaces; run as a script, by root.

``namespaces.py make NAME FOLDER...``: a new machine with an empty ``/tmp``, in which only the
given folders are the ones outside. Prints the id of its first process and lives until killed.

``namespaces.py enter PID COMMAND...``: run a command inside the machine of that first process;
signals and the exit status are passed on.

Everything dies with whoever started it, so that a test that is killed leaves nothing behind.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

_NEW_MOUNTS, _NEW_NAME, _NEW_PIDS, _NEW_NETWORK = 0x00020000, 0x04000000, 0x20000000, 0x40000000
_PARENT_DEATH_SIGNAL, _BIND = 1, 0x1000
_PRIVATE = ("/tmp", "/dev/shm")  # where Ray keeps its sessions and its objects

_libc = ctypes.CDLL(None, use_errno=True)


def make(name: str, folders: list[str]) -> int:
    """Become the parent of a machine's first process; returns when that has died."""
    _die_with_parent()
    _check(_libc.unshare(_NEW_MOUNTS | _NEW_NAME | _NEW_PIDS | _NEW_NETWORK))
    ready, tell = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(ready)
        _furnish(name, folders)
        os.write(tell, b"r")
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # it inherits orphans; none shall linger
        while True:
            signal.pause()
    os.close(tell)
    if os.read(ready, 1):
        print(first, flush=True)
    return _status(first)


def _furnish(name: str, folders: list[str]) -> None:
    """Name, network, processes and temporary folders of a new machine."""
    _die_with_parent()
    socket.sethostname(name)
    kept = {folder: os.open(folder, os.O_PATH) for folder in folders}
    commands = [["mount", "--make-rprivate", "/"], ["mount", "-t", "proc", "proc", "/proc"]]
    commands += [["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", path] for path in _PRIVATE]
    commands += [["ip", "link", "set", "lo", "up"]]
    for command in commands:
        subprocess.run(command, check=True)
    for folder, descriptor in kept.items():
        if not os.path.samestat(os.fstat(descriptor), _stat(folder)):
            Path(folder).mkdir(parents=True)
            # Not the command mount: it would look the name up, and find the hidden folder's.
            source = f"/proc/self/fd/{descriptor}".encode()
            _check(_libc.mount(source, folder.encode(), None, _BIND, None))
        os.close(descriptor)


def _stat(folder: str) -> os.stat_result:
    """Of a folder, or of the root where it is hidden."""
    path = Path(folder)
    return (path if path.exists() else Path("/")).stat()


def enter(first: int, command: list[str]) -> int:
    """Run ``command`` inside the machine of process ``first``; returns its exit status."""
    _die_with_parent()
    here = os.getcwd()  # noqa: PTH109
    spaces = [os.open(f"/proc/{first}/ns/{name}", os.O_RDONLY) for name in ("net", "uts", "pid")]
    spaces.append(os.open(f"/proc/{first}/ns/mnt", os.O_RDONLY))  # last: it takes /proc away
    for space in spaces:
        _check(_libc.setns(space, 0))
        os.close(space)
    os.chdir(here if Path(here).is_dir() else "/")
    child = os.fork()
    if child == 0:
        _die_with_parent()
        os.execvp(command[0], command)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: os.kill(child, received))
    return _status(child)


def _status(child: int) -> int:
    """Wait for a child; its exit status, as a shell gives it."""
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _die_with_parent() -> None:
    _check(_libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    sys.exit(make(rest[0], rest[1:]) if verb == "make" else enter(int(rest[0]), rest[1:]))

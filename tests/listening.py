"""On which addresses a process and its descendants listen, from Linux's ``/proc``."""

import socket
from pathlib import Path

_LISTENS = "0A"


def listeners(first: int) -> dict[str, str]:
    """Addresses on which a process and its descendants listen, and who it is."""
    owners = {}
    for pid in descendants(first):
        folder = Path(f"/proc/{pid}/fd")
        try:
            for entry in folder.iterdir():
                owners[str(entry.readlink())] = (folder.parent / "comm").read_text().strip()
        except OSError:  # it has ended meanwhile
            continue
    found = {}
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            owner = owners.get(f"socket:[{words[9]}]")
            if words[3] == _LISTENS and owner is not None:
                digits, port = words[1].split(":")
                parts = [digits[i : i + 8] for i in range(0, len(digits), 8)]
                raw = b"".join(bytes.fromhex(part)[::-1] for part in parts)
                found[f"{socket.inet_ntop(family, raw)} {int(port, 16)}"] = owner
    return found


def descendants(first: int) -> set[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(words[1])
    found = {first}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def to_the_world(heard: dict[str, str]) -> dict[str, str]:
    """Those that other machines can reach."""
    loopback = ("127.", "::ffff:127.", "::1 ")
    return {address: who for address, who in heard.items() if not address.startswith(loopback)}

"""Faults of what lies on the disk, and of the disk."""

import os
import random
from contextlib import suppress
from pathlib import Path

from tests.chaos.bench import Bench
from tests.chaos.faults import Fault, KillsDriver
from tests.chaos.setup import Needs

_FILLER = "filler"


def damage(path: Path, chance: random.Random) -> str:
    """Cut a file short, empty it, or change some of its bytes; says which."""
    content = bytearray(path.read_bytes())
    way = chance.choice(["cut short", "emptied", "altered"])
    if way == "cut short":
        path.write_bytes(content[: chance.randrange(1, len(content))])
    elif way == "emptied":
        path.write_bytes(b"")
    else:
        for _ in range(chance.randint(1, 8)):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
    return way


class CheckpointDamaged(KillsDriver):
    """The newest checkpoints of all trials, minimax and pretraining, while no driver runs."""

    kind = "checkpoint damaged"

    def damage(self, bench: Bench) -> None:
        """The newest one of every folder."""
        folders = {path.parent for path in bench.runs.rglob("epoch-*.safetensors")}
        for folder in sorted(folders):
            damage(max(folder.glob("epoch-*.safetensors")), self.chance)


class PretrainedDamaged(KillsDriver):
    """Models in the store of pretrained ones, while no driver runs."""

    kind = "pretrained model damaged"

    def damage(self, bench: Bench) -> None:
        """All there are."""
        for path in sorted(bench.runs.glob("pretrained/*/model.safetensors")):
            damage(path, self.chance)


class DiskFull(Fault):
    """The disk of the runs fills up; space is made once the search has stopped."""

    kind = "disk full"

    def prepare(self, needs: Needs) -> None:
        """A small disk of its own."""
        needs.disk = True

    def strike(self, bench: Bench) -> None:
        """Fill it, see the search stop with one line that names it, free it."""
        if not bench.reach(self.moment):
            return
        bench.note(self.kind, self.moment)
        left = self.chance.choice([0, 1, 16, 64]) * 1024
        filler = bench.disk / _FILLER
        free = os.statvfs(bench.disk)
        with filler.open("wb") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - left))
        bench.expect(1)
        status = bench.wait()
        if status == 1 and "no space left on the disk of" not in bench.last_words():
            bench.complaints.append(f"a full disk is not named: {bench.last_words()}")
        filler.unlink()


FAULTS: tuple[type[Fault], ...] = (CheckpointDamaged, PretrainedDamaged, DiskFull)

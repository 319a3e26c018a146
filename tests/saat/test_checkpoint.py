import errno
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from saat import tensor_file
from saat.atomic_files import replacing
from saat.tensor_file import CorruptFile
from tests import toy

META = {"epoch": 3, "stage": "saat", "nested": {"λ": [1.0, None, True]}}


def tensors() -> dict[str, Tensor]:
    return {
        "float": torch.randn(3, 4),
        "channels_last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "transposed": torch.randn(3, 4).T,
        "scalar": torch.tensor(7, dtype=torch.int64),
        "codes": torch.tensor([[1, -1], [-1, 1]], dtype=torch.int8),
        "double": torch.randn(2, dtype=torch.float64),
        "half": torch.randn(3).to(torch.bfloat16),
        "mask": torch.tensor([True, False]),
        "empty": torch.zeros(0, 4),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "folder" / "checkpoint.safetensors"
    tensor_file.save(file, tensors(), META)
    return file


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    saved = tensors()
    tensor_file.save(tmp_path / "c", saved, META)
    loaded, meta = tensor_file.load(tmp_path / "c")
    assert meta == META
    assert not toy.differences(saved, loaded)
    assert {n: t.dtype for n, t in saved.items()} == {n: t.dtype for n, t in loaded.items()}


def test_a_module_comes_back_bit_for_bit_in_its_own_memory_format(tmp_path: Path) -> None:
    network = toy.toy_network(seed=1)
    tensor_file.save(tmp_path / "c", tensor_file.prefixed("network", network.state_dict()), {})
    other = toy.toy_network(seed=2)
    assert toy.differences(toy.snapshot(network), toy.snapshot(other))
    loaded, _ = tensor_file.load(tmp_path / "c")
    other.load_state_dict(tensor_file.tensors_under("network", loaded))
    assert not toy.differences(toy.snapshot(network), toy.snapshot(other))
    strides = [[p.stride() for p in net.parameters()] for net in (network, other)]
    assert strides[0] == strides[1]


def test_modules_with_similar_prefixes_stay_apart() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    held = {
        **tensor_file.prefixed("net", first.state_dict()),
        **tensor_file.prefixed("network", second.state_dict()),
    }
    copy = nn.Linear(2, 2)
    copy.load_state_dict(tensor_file.tensors_under("net", held))
    assert torch.equal(copy.weight, first.weight)


def test_a_missing_tensor_is_not_passed_over() -> None:
    held = tensor_file.prefixed("net", nn.Linear(2, 2).state_dict())
    del held["net.bias"]
    with pytest.raises(RuntimeError, match="bias"):
        nn.Linear(2, 2).load_state_dict(tensor_file.tensors_under("net", held))


def test_parameters_with_gradient_are_saved_without_it(tmp_path: Path) -> None:
    tensor_file.save(tmp_path / "c", {"w": nn.Parameter(torch.ones(2))}, {})
    assert not tensor_file.load(tmp_path / "c")[0]["w"].requires_grad


def test_a_file_is_plain_safetensors_and_holds_no_pickle(path: Path) -> None:
    loaded = safetensors.torch.load_file(path)
    assert loaded.keys() == tensors().keys()
    with pytest.raises((pickle.UnpicklingError, KeyError, ValueError, IndexError)):
        pickle.loads(path.read_bytes())


def test_a_file_cut_anywhere_is_corrupt(path: Path) -> None:
    content = path.read_bytes()
    for length in range(0, len(content), 37):
        path.write_bytes(content[:length])
        with pytest.raises(CorruptFile, match=path.name):
            tensor_file.load(path)


def test_a_longer_file_is_corrupt(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(CorruptFile):
        tensor_file.load(path)


def test_a_flipped_bit_anywhere_is_corrupt_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c"
    saved = {"a": torch.arange(6.0), "b": torch.tensor([1, 2], dtype=torch.int8)}
    tensor_file.save(path, saved, {"epoch": 3, "name": "x"})
    content = path.read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    harmless = 0
    for position in range(len(content)):
        for bit in (0, 1, 4, 7):
            changed = bytearray(content)
            changed[position] ^= 1 << bit
            path.write_bytes(changed)
            try:
                loaded, meta = tensor_file.load(path)
            except CorruptFile:
                continue
            assert meta == {"epoch": 3, "name": "x"}, (position, bit)
            assert not toy.differences(saved, loaded)
            assert position < 8 + header  # some spellings in the header are equivalent
            harmless += 1
    assert harmless < 20


@pytest.mark.parametrize(
    "content", [b"", b"no checkpoint", pickle.dumps({"a": 1}), b"\xff" * 64, b"PK\x03\x04" * 20]
)
def test_a_file_of_another_kind_is_corrupt(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(CorruptFile):
        tensor_file.load(tmp_path / "c")


def test_safetensors_of_somebody_else_are_no_checkpoint(tmp_path: Path) -> None:
    for number, metadata in enumerate((None, {"meta": "{}"}, {"meta": json.dumps({"epoch": 1})})):
        file = tmp_path / str(number)
        safetensors.torch.save_file({"a": torch.ones(1)}, file, metadata=metadata)
        with pytest.raises(CorruptFile):
            tensor_file.load(file)


def test_a_missing_file_is_told_apart_from_a_corrupt_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tensor_file.load(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        tensor_file.load(tmp_path)


def full_disk(tensors: object, file: Path, metadata: object) -> None:
    Path(file).write_bytes(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    monkeypatch.setattr(safetensors.torch, "save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        tensor_file.save(path, {"a": torch.ones(1)}, {})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_replacement_leaves_the_old_file_and_nothing_else(path: Path) -> None:
    before = path.read_bytes()

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_write_replaces_the_old_file_and_leaves_nothing_else(path: Path) -> None:
    tensor_file.save(path, {"a": torch.ones(1)}, {"epoch": 4})
    assert tensor_file.load(path)[1] == {"epoch": 4}
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_within_safetensors_error_is_the_systems_own_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def fails(with_code: int) -> None:
        def save_file(tensors: object, file: Path, metadata: object) -> None:
            Path(file).write_bytes(b"half")
            raise SafetensorError(f"Error while serializing: I/O error (os error {with_code})")

        monkeypatch.setattr(safetensors.torch, "save_file", save_file)
        tensor_file.save(path, {"a": torch.ones(1)}, {})

    for code in (errno.ENOSPC, errno.EDQUOT):
        with pytest.raises(OSError, match=os.strerror(code)) as full:
            fails(code)
        assert full.value.errno == code
        assert full.value.filename == str(path)
    with pytest.raises(SafetensorError):  # any other reason keeps its words
        fails(errno.EIO)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


ON_A_SMALL_DISK = """
import errno, sys
from pathlib import Path
import torch
from saat import tensor_file

folder = Path(sys.argv[1])
tensor_file.save(folder / "old", {"a": torch.zeros(1000)}, {"epoch": 1})
for count in (65_530, 70_000, 1_000_000):
    for name in ("old", "new"):
        try:
            tensor_file.save(folder / name, {"a": torch.zeros(count)}, {"epoch": 2})
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            assert error.filename == str(folder / name), error
        else:
            raise AssertionError("fitted")
        assert [path.name for path in folder.iterdir()] == ["old"]
        assert tensor_file.load(folder / "old")[1] == {"epoch": 1}
tensor_file.save(folder / "old", {"a": torch.zeros(20_000)}, {"epoch": 2})
print("as it should")
"""


@pytest.mark.slow
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """256 KiB of memory as a disk, in a mount namespace of its own that ends with the process."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare to mount a small disk")
    mount = 'mount -t tmpfs -o size=256k tmpfs "$1" || exit 77; exec "$2" -c "$3" "$1"'
    own = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    command = [*own, str(tmp_path), sys.executable, ON_A_SMALL_DISK]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode == 77 or ran.stderr.startswith("unshare:"):
        pytest.skip(f"this process may not mount a small disk: {ran.stderr.strip()}")
    assert ran.stdout == "as it should\n", ran.stderr
    assert list(tmp_path.iterdir()) == []

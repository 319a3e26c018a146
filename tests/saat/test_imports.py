"""The library stays importable with torch and torchvision alone, and costs no more than they do."""

import subprocess
import sys

import pytest

SCRIPT = """
import pkgutil, sys
import saat
assert "torch" not in sys.modules, "import saat costs nothing"
import torch, torchvision
before = {name.partition(".")[0] for name in sys.modules}
skipped = ("saat.__main__", "saat.distance_counts_numba")  # the latter is for the extra fast
for module in pkgutil.walk_packages(saat.__path__, "saat."):
    if module.name not in skipped:
        __import__(module.name)
after = {name.partition(".")[0] for name in sys.modules}
dependency_of_torch = {"filelock"}
print(sorted(after - before - {"saat"} - dependency_of_torch - set(sys.stdlib_module_names)))
"""


@pytest.mark.slow
def test_all_of_the_library_loads_nothing_that_torch_and_torchvision_have_not_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"

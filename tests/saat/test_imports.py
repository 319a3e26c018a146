"""The library stays importable without what only the harness and the reports need."""

import subprocess
import sys

SCRIPT = """
import sys
import saat
assert "torch" not in sys.modules, "import saat costs nothing"
import saat.attacks, saat.checkpoint, saat.defenses, saat.mainstay, saat.retrieval
import saat.evaluate
heavy = ("ray", "optuna", "mlflow", "pandas", "pydantic", "sklearn", "typer", "rich", "yaml",
         "matplotlib", "scipy")
found = sorted(name for name in heavy if name in sys.modules)
assert not found, found
"""


def test_a_fresh_interpreter_imports_the_library_without_harness_or_reports_packages() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

"""AP along radii and iterations, from a real attack of the gates to a trial's file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from harness.trial.artifacts import write_artifacts
from reports.query_tables import read_strengths
from saat.attack_runner import AttackRunner
from saat.battery import run_battery
from saat.reliability import GateBudget
from saat.threat_model import ThreatModel
from saat.victim import Victim
from tests import toy
from tests.saat.test_battery import small

DATA = toy.toy_data()
VICTIM = Victim(toy.pretrained(DATA), DATA, "test", 50)


def test_a_trial_keeps_every_ap_that_the_gates_compared(tmp_path: Path) -> None:
    budget = GateBudget(7, (0.5, 1.0, 2.0), 3, (1, 4), 3)
    battery = small(gates=("monotone", "plateau", "budget"), gate_budget=budget)
    evaluation = run_battery(VICTIM, AttackRunner(ThreatModel(8 / 255)), battery)
    write_artifacts(tmp_path, evaluation, DATA, images=False)
    table = read_strengths(tmp_path / "strength.parquet")
    gates = {gate.name: gate for gate in evaluation.gate_results}
    for along, name, label in (
        ("eps", "monotone", "{:.4g}"),
        ("steps", "plateau", "T={:.0f}"),
    ):
        mine = table[table["along"] == along]
        means = mine.groupby("strength")["ap"].mean()
        measured = {k: v for k, v in gates[name].measured.items() if k != "all"}
        assert {label.format(s): v for s, v in means.items()} == pytest.approx(measured)
        assert (mine.groupby("strength")["query"].nunique() == 7).all()
    clean = table[(table["along"] == "eps") & (table["strength"] == 0)].set_index("query")["ap"]
    np.testing.assert_array_equal(clean, evaluation.clean_ap[torch.tensor(clean.index.to_numpy())])


def test_without_a_battery_there_is_no_file(tmp_path: Path) -> None:
    evaluation = run_battery(VICTIM, AttackRunner(ThreatModel(8 / 255)), small(gates=("budget",)))
    write_artifacts(tmp_path, evaluation, DATA, images=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["per_query.parquet"]

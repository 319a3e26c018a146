"""The transfer matrix equals models and images combined by hand."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from harness.__main__ import main
from harness.evaluation.verify import stored_images, stored_victim
from tests.harness.tiny import tiny_raw

pytestmark = pytest.mark.lengthy


@pytest.fixture(scope="module", autouse=True)
def quick_pictures() -> None:
    """Here they are looked at."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("transferred")
    compared = {"weak": {"defense.method": "none"}, "strong": {}}
    raw = tiny_raw({"compare": compared, "confirm.seeds": 2})
    (root / "tiny.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(SystemExit) as ended:
        main(["compare", f"{root}/tiny.yaml", "--executor", "inline", "--runs-dir", f"{root}/runs"])
    assert ended.value.code == 0
    return root / "runs" / "tiny"


def test_cells_are_models_and_images_of_one_seed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["transfer", "tiny", "--runs-dir", str(run.parent)])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip().endswith("transfer/transfer.md")
    assert (run / "transfer" / "transfer.png").stat().st_size > 5000
    table = pd.read_csv(run / "transfer" / "transfer.csv").set_index("role")
    # Marks of doubt, such as that a setting is at chance, belong to its label.
    table = table.rename(lambda label: re.sub(r" \[.*\]", "", label))
    table = table.rename(columns=lambda label: re.sub(r" \[.*\]", "", label))
    trials = pd.read_parquet(run / "trials.parquet")
    folders = {
        (role, seed): run / "trials" / trial
        for role, seed, trial in zip(
            trials["role"], trials["seed"], trials["trial_id"], strict=True
        )
    }

    def mean(victim: str, source: str, same: bool) -> float:
        values = []
        for (role, seed), folder in folders.items():
            for (other, made), images in folders.items():
                if (role, other) == (victim, source) and (seed == made) == same:
                    target = stored_victim(folder, None)
                    codes = target.codes(stored_images(images)["mainstay"])
                    values.append(float(target.ap(codes).mean()))
        return float(np.mean(values))

    for victim in ("weak", "strong"):
        for source in ("weak", "strong"):
            cell = table.loc[victim, f"{source}, 16 bits"]
            assert cell == pytest.approx(mean(victim, source, same=True))
        other = table.loc[victim, "same setting, other seed"]
        assert other == pytest.approx(mean(victim, victim, same=False))
        own = trials[trials["role"] == victim]["metric.test/map.mainstay"].mean()
        assert table.loc[victim, f"{victim}, 16 bits"] == pytest.approx(own)  # the white box


def test_an_attack_without_images_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["transfer", "tiny", "--attack", "maistay", "--runs-dir", str(run.parent)])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("saat: --attack maistay: tiny has no images of it; one of ")
    assert said.endswith("; did you mean mainstay?\n")

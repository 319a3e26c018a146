"""Every defense through a whole trial and its reload: registered is all it takes."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.evaluation.models import trained_subject
from harness.evaluation.reevaluate import Request, reevaluate
from harness.experiment.published import paper_defaults
from harness.trial.interface import EpochReport, FinalReport, trial_folder
from harness.trial.trial import run_trial
from saat.defenses import DEFENSES
from tests.harness.tiny import context_of, spec_of, tiny

# What keeps a trial within a second or two.
QUICK: dict[str, dict[str, Any]] = {
    "saat": {"steps": 1, "upstream_aliasing": True},
    "cgat": {"steps": 1},
    "atrdh": {"steps": 1},
    "crdat": {"steps": 1},
    "trades": {"steps": 1},
    "awp": {"steps": 1},
    "fgsm_rs": {},
    "hm": {"steps": 1},
    "ca_tride": {"steps": 1},
    "comdefend": {"width": 0.01},
}
SPACE = {"defense.epochs": {"int": [1, 2]}}


def tiny_defense(method: str, **changes: Any) -> Any:
    """The tiny experiment under one defense; only the defense's own options."""
    defense = {"method": method, "epochs": 2, "batch_size": 500, **QUICK[method], **changes}
    return tiny({"defense": defense, "evaluation.attacks": ["mainstay"], "space": SPACE})


@pytest.mark.lengthy
@pytest.mark.parametrize("method", DEFENSES)
def test_a_trial_of_every_defense_gives_its_numbers_again_after_a_reload(
    method: str, tmp_path: Path
) -> None:
    experiment = tiny_defense(method)
    context = context_of(experiment, tmp_path)
    spec = spec_of(experiment)
    *epochs, final = run_trial(spec, context)
    assert [type(report) for report in epochs] == [EpochReport] * 2
    assert isinstance(final, FinalReport)
    for report in epochs:
        assert isinstance(report, EpochReport)
        assert report.metrics["val/zero_grad"] < 0.5  # the attack was not blind
    folder = trial_folder(context, spec.trial_id)
    subject = trained_subject(folder, context.cache_dir)
    request = Request([], None, None, "validation", spec.seed, tmp_path / "again", "cpu")
    reevaluate(subject, request, lambda _: None)
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())["metrics"]
    assert {f"reattack/{name}": value for name, value in again.items()} == final.metrics


@pytest.mark.parametrize("method", DEFENSES)
def test_every_defense_has_a_published_point_to_start_a_search_from(method: str) -> None:
    (point,) = paper_defaults(tiny_defense(method))
    settings = DEFENSES[method].settings
    assert set(point) == {f"defense.{key}" for key in settings.published}


@pytest.mark.lengthy
def test_a_killed_trial_of_comdefend_ends_the_same(tmp_path: Path) -> None:
    """Its network is no output of its training, and its codec no part of the pretrained model."""
    experiment = tiny_defense("comdefend")
    whole, killed = (context_of(experiment, tmp_path / name) for name in ("whole", "killed"))
    spec = spec_of(experiment)
    *_, expected = run_trial(spec, whole)
    first = run_trial(spec, killed)
    next(first)
    first.close()  # type: ignore[attr-defined]
    *_, final = run_trial(spec, killed)
    assert isinstance(final, FinalReport)
    assert isinstance(expected, FinalReport)
    assert final.metrics == expected.metrics

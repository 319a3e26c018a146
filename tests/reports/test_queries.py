"""P@N, AP per query, the strongest attack of every query, early stopping, and the origin."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import saat
from reports.citation import bibtex, origin_terms
from reports.explanation import KeyImportance
from reports.figures.ap_per_query import ap_spread
from reports.figures.chart import Points
from reports.figures.importance import importance_chart
from reports.figures.precision_recall import precisions_at
from reports.stopping import stopping_table
from reports.strongest import NONE, PARTIAL, strongest_shares, strongest_table
from saat.curves import precision_at_depth
from saat.retrieval import Database


def test_precision_of_histograms_is_that_of_codes() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = [torch.randint(0, 2, (n, 8), generator=generator) * 2 - 1 for n in (9, 50)]
    labels = [torch.randint(0, 2, (n, 3), generator=generator) for n in (9, 50)]
    depths = [1, 3, 17, 50]
    expected = saat.precision_at(codes[0], labels[0], codes[1], labels[1], depths).mean(0)
    total, relevant = Database(codes[1], labels[1]).histograms(codes[0], labels[0])
    assert precision_at_depth(total, relevant, depths) == pytest.approx(expected.numpy())
    assert np.isnan(precision_at_depth(np.zeros((0, 9)), np.zeros((0, 9)), [1])).all()


def test_precision_at_the_whole_database_is_the_share_of_relevant_items(results, configs) -> None:
    curve = precisions_at(results, configs)[0]
    assert curve.x[-1] == 400
    assert curve.clean[-1] == pytest.approx(60 / 400)
    assert curve.attacked[-1] == pytest.approx(60 / 400)
    assert (curve.clean[:5] > curve.attacked[:5]).all()


def test_every_query_has_one_strongest_attack(configs) -> None:
    clean = np.array([[0.9, 0.9, 0.2, 0.9]])
    kept = {
        "clean": clean,
        "mainstay": np.array([[0.5, 0.6, 0.2, 0.7]]),
        "hag": np.array([[0.6, 0.5, 0.3, 0.7]]),
    }
    one = replace(configs[0], queries=kept | {"worst": np.min(list(kept.values()), axis=0)})
    shares = strongest_shares(one)
    # Of the last query both attacks are equally strong; the third keeps its clean AP.
    assert shares == {NONE: 0.25, "mainstay": 0.5, "hag": 0.25}
    hidden = replace(one, queries=kept | {"worst": np.array([[0.1, 0.5, 0.2, 0.7]])})
    assert strongest_shares(hidden) == {NONE: 0.25, "mainstay": 0.25, "hag": 0.25, PARTIAL: 0.25}
    assert strongest_shares(replace(one, queries={})) == {}


def test_the_shares_of_a_setting_add_up_to_one(configs) -> None:
    frame = strongest_table(configs).frame
    assert frame[[NONE, "mainstay", "hag"]].sum(axis=1).to_numpy() == pytest.approx(1.0)


def test_the_spread_of_ap_ends_at_its_extremes(configs) -> None:
    spread = ap_spread(configs[0], "worst")
    values = configs[0].queries["worst"]
    assert (spread[0], spread[-1]) == (values.min(), values.max())
    assert spread[50] == pytest.approx(np.median(values))


def test_early_stopping_counts_the_epochs_that_were_spared(results) -> None:
    table = stopping_table(results)
    # Five trials of six epochs ended after two, of four seconds each; one of them was a probe.
    reasons = ["rung 2", "a probe, which ends at epoch 2"]
    assert list(table.frame["stopped because"]) == reasons
    assert list(table.frame["trials"]) == [4, 1]
    assert list(table.frame["epochs trained"]) == [8, 2]
    assert list(table.frame["epochs saved"]) == [16, 4]
    assert list(table.frame["time saved (s)"]) == pytest.approx([64, 16])
    assert "5 of 12 explore trials ended early, which saved 28 %" in table.caption


def test_the_origin_names_date_code_and_data(results) -> None:
    stored = {
        "versions": {"saat-harness": "0.1.0", "torch": "2.15.0"},
        "git_revision": "0bb66e4",
        "data": {"fingerprint": "1f2e3d"},
        "machine": {"platform": "Linux", "device": "cuda", "gpu": "a GPU"},
    }
    terms = dict(origin_terms(replace(results, provenance=stored)))
    assert terms["Date"] == "2023-11-14"
    assert terms["Hardware"] == "a GPU, Linux"
    assert (terms["Commit"], terms["Data fingerprint"]) == ("0bb66e4", "1f2e3d")
    assert "torch 2.15.0" in terms["Versions"]
    entry = bibtex(replace(results, provenance=stored))
    assert entry.count("{") == entry.count("}")
    assert "commit 0bb66e4" in entry
    assert origin_terms(replace(results, provenance={}))


def test_importances_are_drawn_with_the_largest_on_top() -> None:
    found = [
        KeyImportance("defense.mu", "clean_map", 0.2, 0.1, 0.3),
        KeyImportance("defense.lambda", "clean_map", 0.8, 0.7, 0.9),
    ]
    (panel,) = importance_chart(found).panels
    assert list(panel.y.categories) == ["defense.mu", "defense.lambda"]
    (points,) = (mark for mark in panel.marks if isinstance(mark, Points))
    assert points.x == pytest.approx([20, 80])
    assert points.x_error == pytest.approx(np.array([[10, 10], [10, 10]]))
    assert not importance_chart([]).panels

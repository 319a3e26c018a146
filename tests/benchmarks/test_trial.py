"""Both sides of the benchmark of a whole trial do the work that they are said to do."""

import pytest

from benchmarks.trial import Found, Passes, compared, table
from benchmarks.trial_data import write_lists
from benchmarks.trial_plain import Size

pytestmark = pytest.mark.slow

SIZE = Size(
    backbone="small_cnn", side=32, train=64, searched=128, queries=32, classes=3, bits=16,
    pretrain_epochs=8, pretrain_lr=0.3, epochs=2, inner_steps=3, val_steps=4, steps=5,
)  # fmt: skip
TRAIN, DATABASE, QUERIES = SIZE.train, SIZE.searched, SIZE.queries
# Of a look at the network before it is attacked: it may take gradients of the weights too.
LOOKS = 16


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Found]]:
    folder = tmp_path_factory.mktemp("trial") / "lists"
    database = SIZE.searched + SIZE.queries
    write_lists(folder, SIZE.train, database, SIZE.queries, SIZE.classes, None)
    return compared(folder, SIZE, repeats=1)


def test_both_sides_train_alike(found: dict[str, list[Found]]) -> None:
    pretrained, defended = TRAIN * SIZE.pretrain_epochs, TRAIN * SIZE.epochs
    for (run,), weights in ((found["ours"], 0), (found["plain"], 1)):
        steps = defended * SIZE.inner_steps
        assert run.passes["pretraining"] == Passes(pretrained, pretrained, pretrained)
        assert run.passes["inner_pgd"] == Passes(steps, steps, weights * steps)
        assert run.passes["outer_step"] == Passes(*[2 * defended] * 3)


def test_the_plain_way_attacks_and_encodes_as_the_reference_does(
    found: dict[str, list[Found]],
) -> None:
    passes = found["plain"][0].passes
    short = SIZE.epochs * QUERIES * SIZE.val_steps
    full = 2 * QUERIES * SIZE.steps
    assert passes["validation"] == Passes(short, short, short)
    assert passes["reattack"] == Passes(full + QUERIES, full, full)  # HAG needs the clean codes
    measured = DATABASE + TRAIN + QUERIES  # and what every attack made
    encoded = TRAIN + SIZE.epochs * (measured + QUERIES) + measured + 2 * QUERIES
    assert passes["encode"] == Passes(encoded, 0, 0)


def test_ours_takes_as_many_steps_and_encodes_the_training_set_less_often(
    found: dict[str, list[Found]],
) -> None:
    passes = found["ours"][0].passes
    for name, steps, looks in (
        ("validation", SIZE.epochs * QUERIES * SIZE.val_steps, SIZE.epochs),
        ("reattack", 2 * QUERIES * SIZE.steps, 1),
    ):
        assert passes[name].backward == steps + LOOKS * looks
        assert passes[name].with_weights == LOOKS * looks
    measured = DATABASE + QUERIES
    encoded = TRAIN + SIZE.epochs * (measured + QUERIES) + TRAIN + measured + 2 * QUERIES
    assert passes["encode"] == Passes(encoded, 0, 0)


def test_maps_agree_and_every_second_is_in_the_table(found: dict[str, list[Found]]) -> None:
    (ours,), (plain,) = found["ours"], found["plain"]
    assert ours.maps.keys() == plain.maps.keys() == {"clean", "mainstay", "hag"}
    for name, value in ours.maps.items():
        assert value == pytest.approx(plain.maps[name], abs=0.12), name
    for run in (ours, plain):
        assert run.maps["mainstay"] < run.maps["clean"] - 0.05
        assert sum(run.stages.values()) == pytest.approx(run.cpu)
    lines = list(table(found))
    assert any(line.startswith("| **trial** |") for line in lines)

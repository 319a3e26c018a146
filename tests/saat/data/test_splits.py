import numpy as np
import pytest

from saat.data.splits import draw_validation

from .samples import input_error

DATABASE = np.arange(100)
TRAIN = np.arange(40)


def test_queries_come_from_the_database_outside_train() -> None:
    train, validation = draw_validation(TRAIN, DATABASE, 30, seed=0, source="lists")
    assert np.array_equal(train, TRAIN)
    assert np.unique(validation).size == 30
    assert np.isin(validation, DATABASE[40:]).all()


@pytest.mark.parametrize(
    ("database", "val_queries"),
    [(TRAIN, 20), (np.arange(45), 6), (np.arange(41, 61), 11)],
    ids=["train is the database", "too few outside", "would halve the database"],
)
def test_queries_are_held_out_from_train(database: np.ndarray, val_queries: int) -> None:
    train, validation = draw_validation(TRAIN, database, val_queries, seed=0, source="lists")
    assert np.isin(validation, TRAIN).all()
    assert np.unique(validation).size == val_queries
    assert np.array_equal(train, np.setdiff1d(TRAIN, validation))


def test_every_copy_of_a_held_out_row_leaves_train() -> None:
    doubled = np.concatenate([TRAIN, TRAIN])
    train, validation = draw_validation(doubled, TRAIN, 10, seed=0, source="lists")
    assert np.unique(validation).size == 10
    assert train.size == 60
    assert not np.isin(train, validation).any()


def test_half_of_train_must_remain() -> None:
    message = input_error(lambda: draw_validation(TRAIN, TRAIN, 21, seed=0, source="/a/lists"))
    assert message.startswith("/a/lists: val_queries 21:")
    assert "at most 20" in message


def test_the_draw_depends_on_the_seed_alone() -> None:
    draws = [draw_validation(TRAIN, DATABASE, 30, seed=s, source="x")[1] for s in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_fewer_queries_are_the_first_of_more() -> None:
    few = draw_validation(TRAIN, DATABASE, 10, seed=1, source="x")[1]
    more = draw_validation(TRAIN, DATABASE, 30, seed=1, source="x")[1]
    assert np.array_equal(few, more[:10])


def test_the_draw_is_the_same_everywhere() -> None:
    # Stored numbers: a change of this draw would silently change every published validation set.
    assert draw_validation(TRAIN, DATABASE, 5, seed=0, source="x")[1].tolist() == [
        89,
        81,
        68,
        93,
        59,
    ]


def test_no_queries_leave_everything() -> None:
    train, validation = draw_validation(TRAIN, DATABASE, 0, seed=0, source="x")
    assert np.array_equal(train, TRAIN)
    assert validation.size == 0

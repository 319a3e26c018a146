from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saat.attacks import HAG, MainstayAttack, TargetedMainstayAttack
from saat.bootstrap import bootstrap_interval
from saat.data import RetrievalData
from saat.errors import InputError
from saat.evaluation import Evaluation
from saat.mainstay import mainstay_codes
from saat.models import HashingNetwork, codes_of, encode
from saat.perceptibility import perceptibility
from saat.protocol import Protocol, evaluate, named_attacks
from saat.retrieval import average_precision, chance_average_precision
from saat.victim import AttackResult
from tests import toy

DATA = toy.toy_data()
PERCEPTIBILITY = ("linf", "l2", "l1", "matrix_linf", "matrix_l2", "mse")
PROTOCOL = Protocol({"mainstay": MainstayAttack(steps=5), "hag": HAG(steps=5)}, top_k=40)


@pytest.fixture(scope="module")
def network() -> HashingNetwork:
    return toy.pretrained(DATA)


@pytest.fixture(scope="module")
def evaluation(network: HashingNetwork) -> Evaluation:
    return evaluate(network, DATA, PROTOCOL)


def features(network: nn.Module, rows: np.ndarray) -> Tensor:
    return encode(network, lambda part: DATA.batch(rows[part]), len(rows))


def ap(codes: Tensor, evaluation: Evaluation) -> Tensor:
    labels = DATA.label_tensor(evaluation.rows)
    database = DATA.label_tensor(evaluation.database_rows)
    return average_precision(codes, labels, evaluation.database_codes, database, 40)


def test_worst_is_the_minimum_over_clean_and_attacks_per_query(evaluation: Evaluation) -> None:
    parts = [evaluation.clean_ap, *(result.ap for result in evaluation.attacks.values())]
    expected = [min(float(part[q]) for part in parts) for q in range(len(DATA.test))]
    assert evaluation.worst_ap.tolist() == expected
    per_query = evaluation.per_query()
    assert list(per_query) == ["clean", "mainstay", "hag", "worst"]
    assert torch.equal(per_query["worst"][1], evaluation.worst_ap)


def test_worst_takes_the_clean_image_where_attacks_help() -> None:
    one = torch.tensor([0.2, 0.9], dtype=torch.float64)
    rows, codes = np.arange(2), torch.ones(2, 1, dtype=torch.int8)
    images = torch.zeros(2, 3, 1, 1, dtype=torch.uint8)

    def result(*values: float):
        scores = torch.tensor(values, dtype=torch.float64)
        first = torch.zeros(2, dtype=torch.int64)
        return AttackResult(scores, scores / 2, images, codes, 0.25, first, lambda: {"linf": 0.1})

    found = Evaluation(
        rows,
        one,
        one / 3,
        codes,
        codes,
        rows,
        codes,
        codes,
        {"a": result(0.5, 0.4), "b": result(0.6, 0.1)},
    )
    assert found.worst_ap.tolist() == [0.2, 0.1]
    assert found.metrics() == pytest.approx(
        {
            "clean_map": 0.55,
            "robust_map": 0.15,
            "chance_map": 0.55 / 3,
            "lift.clean": bootstrap_interval(one * 2 / 3).low,
            "lift.robust": bootstrap_interval(torch.tensor([0.2, 0.1]) - one / 3).low,
            "distinct_codes": 1,
            "code_length": 1,
            "map.a": 0.45,
            "map.b": 0.35,
            "theory.a": 0.225,
            "theory.b": 0.175,
            "floor_map": 0.175,
            "zero_grad.a": 0.25,
            "zero_grad.b": 0.25,
            "linf.a": 0.1,
            "linf.b": 0.1,
        }
    )


def test_metrics_carry_the_documented_names(evaluation: Evaluation) -> None:
    metrics = evaluation.metrics()
    each = [
        f"{kind}.{a}"
        for kind in ("map", "theory", "zero_grad", *PERCEPTIBILITY)
        for a in ("mainstay", "hag")
    ]
    whole = {"clean_map", "robust_map", "chance_map", "floor_map"}
    assert set(metrics) == {
        *whole,
        "lift.clean",
        "lift.robust",
        "distinct_codes",
        "code_length",
        *each,
    }
    lift = bootstrap_interval(evaluation.clean_ap - evaluation.chance_ap)
    assert metrics["lift.clean"] == lift.low < lift.mean
    assert all(type(value) is float for value in metrics.values())
    assert all(metrics[name] >= 0 for name in {*whole, "distinct_codes", "code_length", *each})
    clean_only = evaluate(toy.toy_network(), DATA, Protocol({}, top_k=40)).metrics()
    lifts = {"lift.clean", "lift.robust"}
    assert set(clean_only) == {*whole, *lifts, "distinct_codes", "code_length"} - {"floor_map"}
    assert clean_only["clean_map"] == clean_only["robust_map"]


def test_numbers_can_be_recomputed_from_what_is_returned(
    network: HashingNetwork, evaluation: Evaluation
) -> None:
    assert torch.equal(evaluation.query_codes, codes_of(features(network, DATA.test)))
    assert torch.equal(evaluation.database_codes, codes_of(features(network, DATA.database)))
    assert torch.equal(evaluation.clean_ap, ap(evaluation.query_codes, evaluation))
    for result in evaluation.attacks.values():
        stored = encode(network, lambda part, r=result: r.images[part], len(result.images))  # type: ignore[misc]
        assert torch.equal(result.codes, codes_of(stored))  # codes of the bytes, not of floats
        assert torch.equal(result.ap, ap(result.codes, evaluation))
        change = result.images.int() - DATA.batch(DATA.test).int()
        linf = result.perceptibility["linf"]
        assert linf == float(change.abs().max()) / 255
        assert 0 < linf <= 8 / 255 + 1e-9


def test_theory_is_the_ap_of_the_code_an_attack_aims_for(
    network: HashingNetwork, evaluation: Evaluation
) -> None:
    train = codes_of(features(network, DATA.train))
    labels = DATA.label_tensor(DATA.test)
    mainstay = mainstay_codes(labels, train, DATA.label_tensor(DATA.train))
    theory = {"mainstay": -mainstay, "hag": -evaluation.query_codes}
    for name, result in evaluation.attacks.items():
        assert torch.equal(result.theory_ap, ap(theory[name], evaluation))


def test_chance_is_that_of_the_same_queries_and_database(evaluation: Evaluation) -> None:
    labels, database = DATA.label_tensor(DATA.test), DATA.label_tensor(DATA.database)
    assert torch.equal(evaluation.chance_ap, chance_average_precision(labels, database, 40))


def test_test_queries_search_the_whole_database(evaluation: Evaluation) -> None:
    assert evaluation.rows.tolist() == DATA.test.tolist()
    assert evaluation.database_rows.tolist() == DATA.database.tolist()


def test_validation_queries_leave_the_database(network: HashingNetwork) -> None:
    found = evaluate(network, DATA, Protocol({}, top_k=40), queries="validation")
    assert found.rows.tolist() == DATA.validation.tolist()
    assert found.database_rows.tolist() == list(range(128))
    assert len(found.database_codes) == 128


def test_a_limit_takes_the_first_queries(network: HashingNetwork, evaluation: Evaluation) -> None:
    found = evaluate(network, DATA, PROTOCOL, limit=5)
    assert found.rows.tolist() == DATA.test[:5].tolist()
    for name, result in found.attacks.items():
        assert torch.equal(result.images, evaluation.attacks[name].images[:5])
        assert torch.equal(result.ap, evaluation.attacks[name].ap[:5])


def test_equal_seeds_give_equal_results_whatever_the_batch_size(
    network: HashingNetwork, evaluation: Evaluation
) -> None:
    torch.manual_seed(77)
    same = evaluate(network, DATA, replace(PROTOCOL, batch_size=7))
    other = evaluate(network, DATA, PROTOCOL, seed=1)
    for name, result in evaluation.attacks.items():
        assert torch.equal(result.images, same.attacks[name].images)
    assert same.metrics() == evaluation.metrics()
    mainstay = evaluation.attacks["mainstay"].images
    assert not torch.equal(other.attacks["mainstay"].images, mainstay)


def test_equal_images_start_elsewhere_for_every_query_and_attack(network: HashingNetwork) -> None:
    twins = replace(DATA, test=np.array([160, 161]), images=DATA.images.copy())
    twins.images[161] = twins.images[160]
    labels = DATA.labels.copy()
    labels[161] = labels[160]
    twins = replace(twins, labels=labels)
    attacks = {
        "one": MainstayAttack(steps=1, step_size=1e-9),
        "two": MainstayAttack(steps=1, step_size=1e-9),
    }
    found = evaluate(network, twins, Protocol(attacks, top_k=40)).attacks
    assert not torch.equal(found["one"].images[0], found["one"].images[1])
    assert not torch.equal(found["one"].images, found["two"].images)


class Brightness(nn.Module):
    """A user's own model without parameters: mean colour of every channel against the others."""

    def forward(self, images: Tensor) -> Tensor:
        means = images.mean((2, 3))
        return 10 * torch.cat([means - means.mean(1, keepdim=True), means - 0.47], dim=1)


def test_any_module_can_be_evaluated() -> None:
    model = Brightness().train()
    found = evaluate(model, DATA, replace(PROTOCOL, eps=64 / 255))
    metrics = found.metrics()
    assert found.query_codes.shape == (32, 6)
    assert metrics["clean_map"] > metrics["chance_map"] + 0.3
    assert metrics["robust_map"] < metrics["clean_map"]
    assert model.training


@pytest.mark.parametrize(("queries", "top_k"), [("test", 161), ("validation", 129), ("test", 0)])
def test_a_ranking_deeper_than_the_database_is_refused_before_any_attack(
    network: HashingNetwork, queries: str, top_k: int
) -> None:
    seen: list[str] = []
    with pytest.raises(ValueError, match=f"top_k {top_k}: 1 to"):
        evaluate(
            network,
            DATA,
            replace(PROTOCOL, top_k=top_k),
            queries=queries,  # type: ignore[arg-type]
            progress=lambda name, *_: seen.append(name),
        )
    assert not seen


def test_progress_names_the_attack(network: HashingNetwork) -> None:
    seen: list[tuple[str, int, int]] = []
    evaluate(network, DATA, PROTOCOL, progress=lambda *update: seen.append(update))
    assert seen == [("mainstay", 32, 32), ("hag", 32, 32)]


def test_histograms_count_the_database_for_clean_and_every_attack(evaluation: Evaluation) -> None:
    for name in ("clean", "mainstay", "hag"):
        total, relevant = evaluation.histograms(name)
        assert total.shape == (32, toy.BITS + 1)
        assert (total.sum(1) == 160).all()
        assert (relevant <= total).all()


def test_named_attacks_have_the_steps_of_the_protocol_or_their_own() -> None:
    found = named_attacks(["hag", "mainstay"], 9, {"hag": {"steps": 3, "step_size": 0.5}})
    assert found == {"hag": HAG(steps=3, step_size=0.5), "mainstay": MainstayAttack(steps=9)}


TARGETED = Protocol(
    {"towards": TargetedMainstayAttack(steps=5), "away": MainstayAttack(steps=5)}, top_k=40
)


def test_targeted_attacks_are_measured_by_their_target_labels(network: HashingNetwork) -> None:
    found = evaluate(network, DATA, TARGETED)
    result = found.attacks["towards"]
    target = result.target
    assert target is not None
    own = DATA.label_tensor(DATA.test)
    assert not ((own * target.labels).sum(1) > 0).any()
    against = (found.database_codes, DATA.label_tensor(DATA.database), 40)
    assert torch.equal(target.ap, average_precision(result.codes, target.labels, *against))
    assert torch.equal(
        target.clean_ap, average_precision(found.query_codes, target.labels, *against)
    )
    train = codes_of(features(network, DATA.train))
    goal = mainstay_codes(target.labels, train, DATA.label_tensor(DATA.train))
    assert torch.equal(target.theory_ap, average_precision(goal, target.labels, *against))
    metrics = found.metrics()
    assert metrics["tmap.towards"] == float(target.ap.mean()) > metrics["tmap.clean"]
    assert metrics["target_map"] == float(torch.maximum(target.ap, target.clean_ap).mean())
    # The worst case of the untargeted attacks does not count what a targeted one did by the way.
    assert torch.equal(found.worst_ap, torch.minimum(found.clean_ap, found.attacks["away"].ap))
    assert "map.towards" not in metrics
    assert torch.equal(found.per_query()["towards"][1], target.ap)


def test_target_labels_are_the_same_for_every_model_and_seed(network: HashingNetwork) -> None:
    first = evaluate(network, DATA, TARGETED)
    other = evaluate(toy.toy_network(seed=3), DATA, TARGETED, seed=5)
    labels = [e.attacks["towards"].target.labels for e in (first, other)]  # type: ignore[union-attr]
    assert torch.equal(*labels)
    moved = evaluate(network, DATA, replace(TARGETED, target_seed=1), limit=8)
    changed = moved.attacks["towards"].target
    assert changed is not None
    assert not torch.equal(changed.labels, labels[0][:8])


@pytest.mark.parametrize("attack", [MainstayAttack, TargetedMainstayAttack])
def test_of_restarts_the_worst_counts_per_query(
    network: HashingNetwork, attack: type[MainstayAttack]
) -> None:
    def run(restarts: int) -> AttackResult:
        protocol = Protocol({"a": attack(steps=2, restarts=restarts)}, top_k=40)
        return evaluate(network, DATA, protocol).attacks["a"]

    def success(result: AttackResult) -> Tensor:
        return result.ap if result.target is None else -result.target.ap

    one, three = run(1), run(3)
    assert (success(three) <= success(one)).all()
    assert (success(three) < success(one)).any()
    assert set(three.restart.tolist()) == {0, 1, 2}
    kept = three.restart == 0
    assert torch.equal(three.images[kept], one.images[kept])
    stored = encode(network, lambda part: three.images[part], len(three.images))
    assert torch.equal(three.codes, codes_of(stored))


def test_what_restarts_change_is_measured_once(
    network: HashingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Tensor] = []

    def counted(images: Tensor, adversarial: Tensor, positions: None) -> dict[str, float]:
        calls.append(adversarial)
        return perceptibility(images, adversarial, positions)

    monkeypatch.setattr("saat.victim.perceptibility", counted)
    protocol = Protocol({"a": MainstayAttack(steps=2, restarts=3)}, top_k=40)
    result = evaluate(network, DATA, protocol).attacks["a"]
    assert not calls  # nothing has read it yet
    assert result.perceptibility["linf"] > 0
    assert len(calls) == 1
    assert result.perceptibility == perceptibility(DATA.batch(DATA.test), result.images)


def test_features_that_are_not_finite_are_refused() -> None:
    broken = toy.toy_network()
    with torch.no_grad():
        broken.hash_layer.bias[3] = torch.nan
    message = toy.raised(lambda: evaluate(broken, DATA, PROTOCOL), InputError)
    assert message.startswith("model: features of 96 of 96 images are not finite")
    assert "\n" not in message


def test_no_queries_give_empty_results(network: HashingNetwork) -> None:
    found = evaluate(network, DATA, PROTOCOL, limit=0)
    assert found.worst_ap.shape == (0,)
    assert found.attacks["hag"].images.shape == (0, 3, toy.SIZE, toy.SIZE)
    assert np.isnan(found.metrics()["clean_map"])


def test_unused_data_of_other_splits_plays_no_part(network: HashingNetwork) -> None:
    dark = DATA.images.copy()
    dark[DATA.test] = 0
    changed: RetrievalData = replace(DATA, images=dark)
    first, second = (
        evaluate(network, data, Protocol({}, top_k=40), queries="validation").metrics()
        for data in (DATA, changed)
    )
    assert first == second

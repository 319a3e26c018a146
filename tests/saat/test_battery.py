"""The battery: worst cases, adaptive attacks, transfer, and going on after it was killed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from saat.adaptive import EOT_PASSES, Adapted, gradient_networks_of, model_traits
from saat.attack_runner import AttackRunner
from saat.attacks import ATTACKS
from saat.attacks.square import Square
from saat.battery import BATTERIES, Battery, run_battery
from saat.bootstrap import bootstrap_interval
from saat.errors import InputError
from saat.evaluation import Evaluation
from saat.protocol import Protocol, evaluate
from saat.reliability import STANDARD_GATES, GateBudget
from saat.reliability.context import Scaled
from saat.threat_model import ThreatModel
from saat.victim import Victim
from tests import planted, reference, toy

DATA = toy.toy_data()
THREAT = ThreatModel(8 / 255)
RUNNER = AttackRunner(THREAT)
NETWORK = toy.pretrained(DATA)
TOP_K = 50


def small(**changes: object) -> Battery:
    attacks = {
        "apgd_mainstay": ATTACKS["apgd_mainstay"](steps=4, restarts=2),
        "apgd_smoothap": ATTACKS["apgd_smoothap"](steps=4),
        "apgd_margin_targeted": ATTACKS["apgd_margin_targeted"](steps=4),
    }
    gate_budget = GateBudget(12, (0.5, 1.0), 4, (1, 4), 4)
    battery = Battery(attacks, Square(steps=5), 10, gate_budget, gates=("budget", "deterministic"))
    return replace(battery, **changes)  # type: ignore[arg-type]


def victim_of(network: nn.Module, limit: int | None = None) -> Victim:
    return Victim(network, DATA, "test", TOP_K, limit=limit)


VICTIM = victim_of(NETWORK)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evaluation]:
    folder = tmp_path_factory.mktemp("battery")
    sources = {"other": victim_of(toy.toy_network(seed=4))}
    return folder, run_battery(VICTIM, AttackRunner(THREAT, store=folder), small(), sources)


def test_the_worst_case_is_no_better_than_any_attack(
    stored: tuple[Path, Evaluation],
) -> None:
    _, result = stored
    assert set(result.attacks) == {
        "apgd_mainstay", "apgd_smoothap", "apgd_margin_targeted", "noise", "square",
        "transfer.other",
    }  # fmt: skip
    assert bool((result.worst_ap <= result.clean_ap).all())
    for name, found in result.attacks.items():
        if name == "apgd_margin_targeted":
            assert found.target is not None
            assert bool((result.worst_target_ap >= found.target.ap).all())
            assert bool((result.worst_target_ap >= found.target.clean_ap).all())
        else:
            assert bool((result.worst_ap <= found.ap).all()), name
    # No attack alone is the worst case, and the targeted one has no part in it.
    alone = [r.ap.mean() for r in result.attacks.values() if r.target is None]
    assert float(result.worst_ap.mean()) < min(float(mean) for mean in alone)


def test_clean_images_and_noise_count_among_the_worst(
    stored: tuple[Path, Evaluation],
) -> None:
    _, result = stored
    clean, noise = torch.zeros_like(result.clean_ap), result.attacks["noise"]
    assert torch.equal(replace(result, clean_ap=clean).worst_ap, clean)
    quiet = {**result.attacks, "noise": replace(noise, ap=torch.zeros_like(noise.ap))}
    assert torch.equal(replace(result, attacks=quiet).worst_ap, clean)


def test_every_number_follows_from_the_stored_images(
    stored: tuple[Path, Evaluation],
) -> None:
    """As a script would do it: arrays, the network, and the plain formula of AP."""
    folder, result = stored

    def codes(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            features = NETWORK.eval()(torch.from_numpy(np.ascontiguousarray(images)).float() / 255)
        return np.where(features.numpy() >= 0, 1, -1)

    database, labels = codes(DATA.images[DATA.database]), DATA.labels[DATA.database]

    def ap(images: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        scores = []
        for code, label in zip(codes(images), wanted, strict=True):
            distances = [reference.hamming(code, other) for other in database]
            related = [reference.relevant(label, other) for other in labels]
            scores.append(reference.expected_average_precision(distances, related, TOP_K))
        return np.array(scores)

    own = DATA.labels[DATA.test]
    worst = ap(DATA.images[DATA.test], own)
    np.testing.assert_allclose(result.clean_ap.numpy(), worst, atol=1e-12)
    names = {name.split("-")[0] for name in (path.name for path in folder.iterdir())}
    assert names >= {"apgd_mainstay", "apgd_smoothap", "noise", "square"}
    for path in folder.glob("*.safetensors"):
        name = path.name.split("-")[0]
        arrays = load_file(path)
        images = arrays["images"]
        if name in ("apgd_mainstay", "apgd_smoothap", "noise", "source.other"):
            found = ap(images, own)
            key = name.replace("source", "transfer")
            np.testing.assert_allclose(result.attacks[key].ap.numpy(), found, atol=1e-12)
            worst = np.minimum(worst, found)
        elif name == "square":
            rows = result.query_indices["square"].numpy()
            worst[rows] = np.minimum(worst[rows], ap(images, own[rows]))
        elif name == "apgd_margin_targeted":
            target = result.attacks[name].target
            assert target is not None
            found = ap(images, arrays["target_labels"])
            np.testing.assert_allclose(target.ap.numpy(), found, atol=1e-12)
        change = np.abs(images.astype(int) - DATA.images[DATA.test].astype(int)[: len(images)])
        assert name == "square" or change.max() <= 8
    np.testing.assert_allclose(result.worst_ap.numpy(), worst, atol=1e-12)


def equal(a: Evaluation, b: Evaluation) -> bool:
    return a.attacks.keys() == b.attacks.keys() and all(
        torch.equal(a.attacks[name].images, b.attacks[name].images)
        and torch.equal(a.attacks[name].ap, b.attacks[name].ap)
        and torch.equal(a.attacks[name].restart, b.attacks[name].restart)
        and a.attacks[name].zero_gradient == b.attacks[name].zero_gradient
        for name in a.attacks
    )


class Killed(Exception):
    pass


def test_a_killed_battery_goes_on_and_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed = run_battery(VICTIM, RUNNER, small())
    begun: list[str] = []

    def kill(name: str, done: int, total: int) -> None:
        begun.append(name)
        if name == "apgd_margin_targeted":
            raise Killed

    def again() -> tuple[Evaluation, set[str]]:
        names: list[str] = []
        runner = replace(RUNNER, store=tmp_path, progress=lambda name, *_: names.append(name))
        return run_battery(VICTIM, runner, small()), set(names)

    with pytest.raises(Killed):
        run_battery(VICTIM, replace(RUNNER, store=tmp_path, progress=kill), small())
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    assert "apgd_mainstay" in begun
    for attacked in ({"apgd_margin_targeted", "noise", "square"}, set()):
        resumed, names = again()
        assert names == attacked
        assert equal(resumed, undisturbed)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_damaged_file_is_attacked_again(tmp_path: Path, flipped: bool) -> None:
    before = run_battery(VICTIM, replace(RUNNER, store=tmp_path), small())
    for path in tmp_path.iterdir():
        content = bytearray(path.read_bytes())
        if flipped:
            content[len(content) // 4] ^= 64
        path.unlink()  # what is mapped stays as it was
        path.write_bytes(content if flipped else content[:-40])
    assert equal(run_battery(VICTIM, replace(RUNNER, store=tmp_path), small()), before)


def test_images_of_finished_attacks_stay_on_the_disk(tmp_path: Path) -> None:
    """Those of a whole battery on thousands of photographs would fill the memory."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("no /proc/self/maps here, which says what is mapped")
    in_memory = run_battery(VICTIM, RUNNER, small())
    for _ in range(2):  # attacked, and taken from the store
        result = run_battery(VICTIM, AttackRunner(THREAT, store=tmp_path), small())
        mapped = maps.read_text()
        names = [path.name for path in tmp_path.iterdir()]
        # Square's own are put among the clean ones of the queries it did not take.
        assert [name.split("-")[0] for name in names if name not in mapped] == ["square"]
        assert equal(result, in_memory)
        kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
        result.attacks["noise"].images.zero_()
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept
        del result


def attacked_anew(store: Path, victim: Victim, **changes: Any) -> int:
    """How many attacks were not taken from the store."""
    names: list[str] = []
    battery = changes.pop("battery", small())
    runner = AttackRunner(THREAT, store=store, progress=lambda n, *_: names.append(n))
    run_battery(victim, replace(runner, **changes), battery)
    return len(set(names))


@pytest.mark.slow
def test_the_store_never_mixes_models_or_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert attacked_anew(tmp_path, VICTIM) == 5
    assert attacked_anew(tmp_path, VICTIM) == 0
    assert attacked_anew(tmp_path, victim_of(toy.toy_network(seed=9))) == 5
    # These two differ in nothing that a state_dict or a repr would show, nor in any code.
    assert attacked_anew(tmp_path, victim_of(Scaled(NETWORK, 2.0))) == 5
    assert attacked_anew(tmp_path, victim_of(Scaled(NETWORK, 3.0))) == 5
    assert attacked_anew(tmp_path, victim_of(NETWORK, limit=20)) == 5
    assert attacked_anew(tmp_path, VICTIM, seed=1) == 5
    assert attacked_anew(tmp_path, VICTIM, threat=ThreatModel(4 / 255)) == 5
    assert attacked_anew(tmp_path, VICTIM, target_seed=1) >= 1
    more = small(white_box={"apgd_mainstay": ATTACKS["apgd_mainstay"](steps=5, restarts=2)})
    assert attacked_anew(tmp_path, VICTIM, battery=more) == 1
    other = VICTIM.on_queries(torch.arange(len(VICTIM.rows)))
    assert attacked_anew(tmp_path, other) == 0
    other.rows = other.rows[::-1].copy()
    assert attacked_anew(tmp_path, other) == 5
    assert attacked_anew(tmp_path, VICTIM) == 0
    monkeypatch.setattr(Square, "version", 99)
    assert attacked_anew(tmp_path, VICTIM) == 1


def test_batteries_by_name() -> None:
    assert set(BATTERIES) == {"core", "full", "exhaustive"}
    assert {"hag", "sdha", "masked_mainstay", "multi_target"} <= set(BATTERIES["full"].white_box)
    assert BATTERIES["full"].square.steps == 5000
    full, exhaustive = BATTERIES["full"], BATTERIES["exhaustive"]
    assert [full.white_box[name].steps for name in ("hag", "sdha")] == [100, 100]
    assert [exhaustive.white_box[name].steps for name in ("hag", "sdha")] == [2000, 1500]
    assert full.pruning is not None
    assert exhaustive.pruning is None
    assert all(battery.gates == STANDARD_GATES for battery in BATTERIES.values())
    assert toy.raised(lambda: small(gate_attack="hag"), InputError).startswith(
        "battery: gate_attack 'hag': "
    )


# Transfer


def test_transferred_images_are_those_of_the_source() -> None:
    other = victim_of(toy.toy_network(seed=4))
    attack = small().white_box["apgd_mainstay"]
    images = RUNNER.attack(other, "source.other", attack).images
    found = run_battery(VICTIM, RUNNER, small(), {"other": other})
    moved = found.attacks["transfer.other"]
    assert torch.equal(moved.images, images)
    assert torch.equal(moved.ap, VICTIM.ap(VICTIM.codes(images)))


def test_a_source_with_other_queries_is_refused() -> None:
    sources = {"x": victim_of(NETWORK, limit=5)}
    message = toy.raised(lambda: run_battery(VICTIM, RUNNER, small(), sources), InputError)
    assert message == "source x: its queries are not those of the victim"


# Adaptive attacks


def test_the_nature_of_networks() -> None:
    def traits(network: nn.Module) -> tuple[bool, bool, bool]:
        found = model_traits(network, VICTIM.images)
        return found.randomised, found.blind, found.surrogate

    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert traits(NETWORK) == (False, False, False)
    assert traits(planted.LargeLastLayer(NETWORK)) == (False, False, False)
    assert traits(planted.Rounded(NETWORK)) == (False, True, False)
    assert traits(planted.RoundedWithSurrogate(NETWORK)) == (False, True, True)
    assert traits(planted.Detached(NETWORK)) == (False, True, False)
    assert traits(planted.NoisyInput(NETWORK)) == (True, False, False)
    assert traits(planted.RandomResize(NETWORK)) == (True, False, False)
    says_so = planted.Wrapped(NETWORK)
    says_so.randomised = True  # type: ignore[assignment]
    assert traits(says_so) == (True, False, False)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.slow
@pytest.mark.parametrize("room", [4, 0])
def test_memory_that_runs_out_is_no_missing_gradient(room: int) -> None:
    class Narrow(planted.Wrapped):
        def see(self, images: Tensor) -> Tensor:
            if images.requires_grad and len(images) > room:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return images

    if room:
        assert not model_traits(Narrow(NETWORK), VICTIM.images).blind
    else:
        with pytest.raises(torch.cuda.OutOfMemoryError):
            model_traits(Narrow(NETWORK), VICTIM.images)


@pytest.mark.slow
def test_a_random_network_is_measured_under_one_draw_and_attacked_through_many() -> None:
    network = Adapted(planted.NoisyInput(NETWORK), EOT_PASSES)
    images = VICTIM.images.float() / 255
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with torch.no_grad():
        first, second = network(images), network(images)
    assert torch.equal(first, second)
    with torch.enable_grad():
        one, two = network(images).detach(), network(images)
        assert not torch.equal(one, two)  # fresh draws every call …
        network.restart()
        assert torch.equal(network(images), one)  # … in a sequence that repeats itself
    assert torch.equal(state, torch.get_rng_state())
    with torch.no_grad():
        settled = NETWORK.eval()(images)
    assert float((one - settled).abs().mean()) < float((first - settled).abs().mean())

    victims = [victim_of(planted.NoisyInput(NETWORK)) for _ in range(2)]
    state = torch.get_rng_state()  # Victim itself draws
    result, again = (run_battery(victim, RUNNER, small()) for victim in victims)
    assert torch.equal(state, torch.get_rng_state())
    assert equal(result, again)
    assert torch.equal(result.clean_ap, again.clean_ap)
    assert result.unreliable
    # Draws do not depend on what was attacked before: a battery that goes on repeats itself.
    smooth = {"apgd_smoothap": ATTACKS["apgd_smoothap"](steps=4)}
    later = small(white_box=smooth, gate_attack="apgd_smoothap")
    alone = run_battery(victims[0], RUNNER, later).attacks["apgd_smoothap"]
    assert torch.equal(alone.images, result.attacks["apgd_smoothap"].images)


def test_a_stand_in_lends_its_gradient_and_not_its_value() -> None:
    rounded = planted.RoundedWithSurrogate(NETWORK).eval()
    networks = gradient_networks_of(rounded, model_traits(rounded, VICTIM.images))
    assert set(networks) == {".bpda"}
    images = (VICTIM.images.float() / 255).requires_grad_(True)
    features = networks[".bpda"](images)
    with torch.no_grad():
        assert torch.equal(features, rounded(images))
    (gradient,) = torch.autograd.grad(features.sum(), images)
    seen = (VICTIM.images.float() / 255).requires_grad_(True)
    (expected,) = torch.autograd.grad(NETWORK(seen).sum(), seen)
    assert torch.allclose(gradient, expected)

    result = run_battery(victim_of(rounded), RUNNER, small())
    blind = run_battery(victim_of(planted.Rounded(NETWORK)), RUNNER, small())
    assert {"apgd_mainstay.bpda", "square"} <= set(result.attacks)
    assert set(blind.attacks) == {"noise", "square"}
    assert float(result.worst_ap.mean()) < float(blind.worst_ap.mean()) - 0.1


def test_square_leaves_the_other_queries_clean() -> None:
    result = run_battery(VICTIM, RUNNER, small())
    query_indices = result.query_indices["square"]
    assert len(query_indices) == 10
    others = torch.ones(len(VICTIM.rows), dtype=torch.bool)
    others[query_indices] = False
    square = result.attacks["square"]
    assert torch.equal(square.images[others], VICTIM.images[others])
    assert torch.equal(square.ap[others], VICTIM.clean_ap[others])
    assert bool(
        (square.images[query_indices] != VICTIM.images[query_indices]).flatten(1).any(1).all()
    )


def test_a_protocol_with_square_keeps_its_own_beside_the_batterys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("saat.protocol.BATTERIES", {"core": small()})
    protocol = Protocol({"square": Square(steps=3)}, top_k=TOP_K)
    found = evaluate(NETWORK, DATA, protocol, battery="core")
    assert set(found.query_indices) == {"square.battery"}
    metrics, rows = found.metrics(), found.query_indices["square.battery"]
    assert metrics["map.square"] == float(found.attacks["square"].ap.mean())
    own = found.attacks["square.battery"].ap
    assert metrics["map.square.battery"] == float(own[rows].mean()) < float(own.mean())


def test_some_queries_of_a_victim_are_attacked_as_among_all() -> None:
    part = VICTIM.on_queries(torch.tensor([3, 7, 20]))
    attack = ATTACKS["apgd_mainstay"](steps=3)
    whole, few = (RUNNER.attack(v, "a", attack) for v in (VICTIM, part))
    assert torch.equal(few.images, whole.images[[3, 7, 20]])
    assert torch.equal(few.ap, whole.ap[[3, 7, 20]])


def test_the_interval_covers_the_mean_and_narrows_with_the_queries() -> None:
    values = torch.rand(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wide, narrow = bootstrap_interval(values[:25]), bootstrap_interval(values)
    for interval in (wide, narrow):
        assert interval.low < interval.mean < interval.high
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    expected = 2 * 1.96 * float(values.std(correction=0)) / 20
    assert narrow.high - narrow.low == pytest.approx(expected, rel=0.15)
    assert bootstrap_interval(torch.ones(3)) == (1.0, 1.0, 1.0)
    assert np.isnan(bootstrap_interval(torch.ones(0)).mean)

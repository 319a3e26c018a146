import hashlib

import torch

from saat.seeding import derive_seed, generator, seed_torch


def test_seeds_are_fixed_numbers_the_same_in_every_process_and_release() -> None:
    assert derive_seed("attack", "mainstay", 0, 17) == 6674170907692283390
    text = b"str:attack\x1fstr:mainstay\x1fint:0\x1fint:17"
    assert derive_seed("attack", "mainstay", 0, 17) == (
        int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
    )


def test_seeds_depend_on_every_part_its_order_and_its_type() -> None:
    parts: list[tuple[int | str, ...]] = [
        (),
        ("a",),
        ("a", "b"),
        ("b", "a"),
        ("ab",),
        ("a", ""),
        (1,),
        ("1",),
        (1, 2),
        (2, 1),
        (12,),
        (-1,),
    ]
    assert len({derive_seed(*each) for each in parts}) == len(parts)


def test_seeds_fit_into_63_bits() -> None:
    seeds = [derive_seed(number) for number in range(1000)]
    assert min(seeds) >= 0
    assert 2**62 < max(seeds) < 2**63


def test_generators_and_torch_follow_the_derived_seed() -> None:
    first, same, other = (torch.rand(3, generator=generator("x", n)) for n in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    seed_torch("x", 1)
    assert torch.equal(torch.rand(3), first)
    assert torch.initial_seed() == derive_seed("x", 1)

"""CgAT's crops and flips."""

import numpy as np
import pytest
import torch
from torch import Tensor

from saat.data import RetrievalData
from saat.defenses.cgat import crop_and_flip
from saat.models import HashingNetwork
from tests import reference_defenses, toy
from tests.contracts.defense_runs import training


@pytest.mark.parametrize(("size", "shift"), [(7, 2), (8, 1), (6, 0)])
def test_crops_equal_the_plain_ones(size: int, shift: int) -> None:
    images = torch.rand(24, 3, size, size)
    torch.manual_seed(3)
    ours = crop_and_flip(images, shift).numpy()
    found = set()
    for image, crop in zip(images.numpy(), ours, strict=True):
        matches = [
            (top, left, mirrored)
            for top in range(2 * shift + 1)
            for left in range(2 * shift + 1)
            for mirrored in (False, True)
            if np.array_equal(crop, reference_defenses.shifted(image, top, left, shift, mirrored))
        ]
        assert len(matches) == 1
        found.add(matches[0])
    assert {mirrored for _, _, mirrored in found} == {False, True}
    for axis in (0, 1):
        assert len({key[axis] for key in found}) == 2 * shift + 1


def test_cgat_trains_on_crops_of_its_epoch_and_of_the_papers_size(
    trained: HashingNetwork, data: RetrievalData, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, int]] = []
    given: list[Tensor] = []

    def spy(images: Tensor, shift: int) -> Tensor:
        seen.append((crop_and_flip(images, shift), shift))
        return seen[-1][0]

    def attacked(images: Tensor, _: Tensor) -> Tensor:
        given.append(images)
        return images

    monkeypatch.setattr("saat.defenses.cgat.crop_and_flip", spy)
    run = training("cgat", trained, data)
    monkeypatch.setattr(run, "inner_maximisation", attacked)
    run.run_epoch()
    assert [shift for _, shift in seen] == [1, 1, 1]  # 16 pixels; 16 of 224
    assert all(torch.equal(a, b) for (a, _), b in zip(seen, given, strict=True))

    plain = training("cgat", trained, data, augment=False)
    images, rows = torch.rand(2, 3, 224, 224), torch.arange(2)
    for changed, shifts in ((run, [1, 1, 1, 16]), (plain, [1, 1, 1, 16])):
        monkeypatch.setattr(changed, "inner_maximisation", attacked)
        monkeypatch.setattr(changed, "in_parts", lambda *_: torch.ones(4, toy.BITS))
        changed.batch_loss(images, run.train_labels[rows], rows)
        assert [shift for _, shift in seen] == shifts
    assert given[-1] is images

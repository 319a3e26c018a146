"""ComDefend's codec, its loss, and what it deploys."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saat.data import RetrievalData
from saat.defenses.comdefend import Codec, ComDefendSettings, Preprocessed, preprocessed
from saat.models import HashingNetwork
from tests import toy
from tests.contracts.defense_runs import training

CHANNELS = [3, 16, 32, 64, 128, 256, 128, 64, 32, 12]


def test_the_codec_has_the_published_layers() -> None:
    codec = Codec()
    encoder, decoder = (
        [layer for layer in part if isinstance(layer, nn.Conv2d)]
        for part in (codec.encoder, codec.decoder)
    )
    assert [layer.in_channels for layer in encoder] + [encoder[-1].out_channels] == CHANNELS
    assert [layer.in_channels for layer in decoder] + [decoder[-1].out_channels] == CHANNELS[::-1]
    assert {layer.kernel_size for layer in encoder + decoder} == {(3, 3)}
    assert [type(layer).__name__ for layer in codec.encoder] == [*["Conv2d", "ELU"] * 8, "Conv2d"]
    assert [layer.out_channels for layer in Codec(1 / 64).encoder[::2]][:5] == [1, 1, 1, 2, 4]


@pytest.mark.parametrize("size", [(16, 16), (17, 33)])
def test_any_image_size_works(size: tuple[int, int], trained: HashingNetwork) -> None:
    defended = preprocessed(trained, ComDefendSettings(width=1 / 16)).eval()
    images = torch.rand(2, 3, *size)
    assert defended.codec(images).shape == (2, 12, *size)
    assert defended.reconstruct(images).shape == images.shape
    assert defended(images).shape == (2, toy.BITS)


def test_batch_loss_equals_the_plain_formula(trained: HashingNetwork, data: RetrievalData) -> None:
    run = training("comdefend", trained, data, noise=3.0, penalty=0.25)
    index = torch.arange(8)
    images = data.batch(data.train[:8]).float() / 255
    codec = run.defended.codec
    torch.manual_seed(5)
    loss = run.batch_loss(images, run.train_labels[index], index)
    with torch.no_grad():
        torch.manual_seed(5)
        z = codec.encoder(images)
        code = 1 / (1 + np.exp(-(z - 3.0 * torch.randn_like(z)).double().numpy()))
        logits = codec.decoder(torch.from_numpy(code).float()).double().numpy()
    error = ((1 / (1 + np.exp(-logits)) - images.double().numpy()) ** 2).mean()
    assert float(loss.detach()) == pytest.approx(error + 0.25 * (code**2).mean(), rel=1e-5)
    loss.backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in codec.parameters())
    assert all(p.grad is None for p in run.network.parameters())


def deployed(trained: HashingNetwork, **changes: Any) -> Preprocessed:
    """A codec with logits far from zero, so that bits differ between images."""
    torch.manual_seed(0)
    defended = preprocessed(trained, ComDefendSettings(width=1 / 16, **changes)).eval()
    with torch.no_grad():
        last = defended.codec.encoder[-1]
        assert isinstance(last, nn.Conv2d)
        last.weight.mul_(3000)
    return defended


def codes_seen(defended: Preprocessed, images: Tensor) -> Tensor:
    codes: list[Tensor] = []
    hook = defended.codec.decoder.register_forward_pre_hook(lambda _, given: codes.append(given[0]))
    defended(images)
    hook.remove()
    return codes[0]


def test_the_deployed_code_is_binary_and_always_the_same(trained: HashingNetwork) -> None:
    defended = deployed(trained)
    images = torch.rand(32, 3, toy.SIZE, toy.SIZE)
    code = codes_seen(defended, images)
    assert set(code.unique().tolist()) == {0.0, 1.0}
    torch.manual_seed(77)
    before = torch.get_rng_state()
    assert torch.equal(codes_seen(defended, images), code)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(defended(images), defended(images))
    assert torch.equal(codes_seen(deployed(trained), images), code)  # the draw is no secret


def test_every_image_gets_the_same_noise_whatever_the_batch(trained: HashingNetwork) -> None:
    images = torch.rand(4, 3, toy.SIZE, toy.SIZE)
    defended = deployed(trained)
    torch.testing.assert_close(
        defended.noise(defended.codec(images)).std(), torch.tensor(20.0), rtol=0.1, atol=0
    )
    together = codes_seen(defended, images)
    one = torch.cat([codes_seen(defended, image[None]) for image in images])
    assert float((together != one).float().mean()) < 1e-3  # logits differ in their last bits
    same = images[:1].expand(4, -1, -1, -1)
    assert len(codes_seen(defended, same).unique(dim=0)) == 1


def test_without_noise_and_without_rounding(trained: HashingNetwork) -> None:
    images = torch.rand(4, 3, toy.SIZE, toy.SIZE)
    clean = deployed(trained, test_noise=False)
    assert torch.equal(codes_seen(clean, images), (clean.codec(images) > 0).float())
    noisy = deployed(trained)
    assert not torch.equal(codes_seen(clean, images), codes_seen(noisy, images))
    soft = deployed(trained, binarise=False, test_noise=False)
    torch.testing.assert_close(codes_seen(soft, images), torch.sigmoid(soft.codec(images)))


@pytest.mark.parametrize("binarise", [True, False])
def test_no_attack_is_blind(binarise: bool, trained: HashingNetwork) -> None:
    defended = deployed(trained, binarise=binarise)
    stand_in = defended.surrogate()
    images = torch.rand(4, 3, toy.SIZE, toy.SIZE)
    for module in [stand_in, *([defended] if binarise else [])]:
        point = images.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(module(point).sum(), point)
        assert float((gradient == 0).float().mean()) < 0.05
    shared = {id(p) for p in defended.parameters()}
    assert {id(p) for p in stand_in.parameters()} == shared
    # Its code is the mean of the rounded code over the noise.
    logits = torch.tensor([-40.0, -10.0, 0.0, 10.0, 40.0])
    mean = ((logits - 20 * torch.randn(100_000, 1)) > 0).float().mean(0)
    assert float((defended.mean_code(logits) - mean).abs().max()) < 0.02
    seen: list[Tensor] = []
    hook = defended.codec.decoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    stand_in(images)
    hook.remove()
    assert torch.equal(seen[0], defended.mean_code(defended.codec(images)))


def test_the_network_stays_as_pretrained(trained: HashingNetwork, data: RetrievalData) -> None:
    run = training("comdefend", trained, data)
    before = toy.snapshot(trained)
    run.run_epoch()
    assert not toy.differences(before, toy.snapshot(run.defended.network))
    assert run.defended.network is run.network

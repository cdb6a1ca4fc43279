"""The training on a GPU against the same on the CPU or in higher precision. Skipped without CUDA.

Tolerances: fp32 products on a GPU may be TF32 (10 bits), so single operations are held to 1e-3 of float64, in bf16
(8 bits) to 4e-2; the losses of a hundred steps in bf16, averaged over ten, to 5 % of those in fp32.
"""

import os
import signal

import numpy as np
import pytest
import torch
from torch import distributed as dist
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from zfnet.config import CheckpointsConfig, ModelConfig, TrainConfig
from zfnet.distributed import World
from zfnet.models.net import build
from zfnet.models.normalization import LocalResponseNorm
from zfnet.training import fit as module
from zfnet.training.feed import Dropouts, feed
from zfnet.training.fit import Job, Seeded, fit
from zfnet.training.precision import autocast
from zfnet.training.sampling import plan_epoch

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
GPU, CPU = World(0, 1, torch.device("cuda")), World(0, 1, torch.device("cpu"))


def first_losses(images, precision, world=GPU, steps=100):
    model = build("zfnet", 3, 32, width=0.25)
    model.initialise("he", seed=0)
    model.to(world.device).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.SGD(model.parameters(), 0.001, 0.9, weight_decay=5e-4, fused=True)
    drops, losses, epoch = Dropouts(model, 0), [], 0
    while len(losses) < steps:
        plan = plan_epoch(len(images), images.size, "random", 0, epoch)
        for batch in feed(images, plan, range(4), 6, world, drops, 4 * epoch):
            with autocast(world.device, precision):
                scores = Seeded(model)(batch.inputs, batch.masks)
            loss = F.cross_entropy(scores.float(), batch.labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        epoch += 1
    return np.array(losses[:steps])


def test_bf16_and_fp32_agree_over_the_first_hundred_steps(stores):
    fp32, bf16 = (first_losses(stores[0], precision).reshape(10, 10).mean(1) for precision in ("fp32", "bf16"))
    assert fp32[-1] < 0.9 * fp32[0]
    np.testing.assert_allclose(bf16, fp32, rtol=0.05)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.bfloat16, 4e-2)])
def test_contrast_normalisation_agrees_with_float64(dtype, tolerance):
    x = 20 * torch.randn(2, 48, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = x.to("cuda", dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    exact = found.detach().cpu().double().requires_grad_()
    for y in (exact, found):
        LocalResponseNorm()(y).square().sum().backward()
    assert found.grad is not None and exact.grad is not None
    for a, b in ((LocalResponseNorm()(found), LocalResponseNorm()(exact)), (found.grad, exact.grad)):
        error = (a.detach().cpu().double() - b.detach()).abs().max() / b.detach().abs().max()
        assert error < tolerance


def test_nccl_with_one_process_gives_the_same_gradient():
    model = build("zfnet", 3, 32, width=0.25)
    model.initialise("he", seed=0)
    model.cuda().eval()
    x = torch.randn(4, 3, 32, 32, device="cuda")
    Seeded(model)(x, {}).square().sum().backward()
    plain = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1, device_id=torch.device("cuda", 0))
    try:
        total = torch.ones(3, device="cuda")
        dist.all_reduce(total)
        assert total.tolist() == [1, 1, 1]
        model.zero_grad()
        DistributedDataParallel(Seeded(model))(x, {}).square().sum().backward()
    finally:
        dist.destroy_process_group()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, plain[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("first", "then"), [(GPU, CPU), (CPU, GPU)])
def test_a_checkpoint_goes_on_on_another_device(stores, tmp_path, monkeypatch, first, then):
    recipe = TrainConfig(
        epochs=4, batch=6, reference_batch=6, lr=0.02, schedule="cosine", precision="fp32", crops="random", snapshots=[]
    )
    job = Job(ModelConfig(width=0.125, init="he"), recipe, CheckpointsConfig(), str(tmp_path), first.device.type)

    class Interrupted(module.Renormaliser):
        calls = 0

        def __call__(self):
            super().__call__()
            Interrupted.calls += 1
            if Interrupted.calls == 7:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(module, "Renormaliser", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(job, first, *stores)
    monkeypatch.undo()
    kept = (tmp_path / "metrics.jsonl").read_text()
    numbers = fit(job, then, *stores)
    assert (tmp_path / "metrics.jsonl").read_text().startswith(kept) and len(numbers["history"]) == 4
    assert all(np.isfinite(line["loss"]) for line in numbers["history"])

"""The training on a GPU against the same on the CPU or in higher precision. Skipped without CUDA.

Tolerances: fp32 products on a GPU may be TF32 (10 bits), so single operations are held to 1e-3 of float64, in bf16
(8 bits) to 4e-2; the losses of a hundred steps in bf16, averaged over ten, to 5 % of those in fp32.
"""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import distributed as dist
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from zfnet.core.metrics import read_metrics
from zfnet.core.precision import autocast
from zfnet.networks.convnet import build
from zfnet.networks.normalization import LocalResponseNorm
from zfnet.networks.options import ModelOptions
from zfnet.networks.predict import predict
from zfnet.training import fit as module
from zfnet.training.batches import Dropouts, batches
from zfnet.training.distributed import World, launch
from zfnet.training.fit import Job, Seeded, fit
from zfnet.training.options import CheckpointOptions, TrainOptions
from zfnet.training.sampling import plan_epoch

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.filterwarnings("ignore:.*no current CUDA context"),  # cuBLAS first used in a backward pass's thread
]
GPU, CPU = World(0, 1, torch.device("cuda")), World(0, 1, torch.device("cpu"))


def first_losses(images, inputs, precision, world=GPU, steps=100):
    model = build("zfnet", 3, 32, width=0.25)
    model.initialize("he", seed=0)
    model.to(world.device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.001, 0.9, weight_decay=5e-4, fused=True)
    drops, losses, epoch = Dropouts(model, 0), [], 0
    while len(losses) < steps:
        plan = plan_epoch(len(images), images.size, "random", 0, epoch)
        for batch in batches(images, inputs, plan, range(4), 6, world, drops, 4 * epoch):
            with autocast(world.device, precision):
                scores = Seeded(model)(batch.inputs, batch.masks)
            loss = F.cross_entropy(scores.float(), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        epoch += 1
    return np.array(losses[:steps])


def test_initial_weights_are_the_same_wherever_the_network_lies():
    here, there = build("zfnet", 3, 32, width=0.25), build("zfnet", 3, 32, width=0.25).to("cuda")
    here.initialize("he", seed=0)
    there.initialize("he", seed=0)
    assert all(torch.equal(a, b.cpu()) for a, b in zip(here.parameters(), there.parameters(), strict=True))


def test_bf16_and_fp32_agree_over_the_first_hundred_steps(stores, inputs):
    fp32, bf16 = [first_losses(stores[0], inputs, precision).reshape(10, 10).mean(1) for precision in ("fp32", "bf16")]
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
    model.initialize("he", seed=0)
    model.cuda().eval()
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)).cuda()
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
        error = (parameter.grad - plain[name]).abs().max() / plain[name].abs().max()
        assert error < 1e-3, name


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs, as NCCL takes one process on each")
def test_two_processes_on_two_gpus_equal_one(stores, inputs, store_folders, tmp_path):
    recipe = TrainOptions(
        epochs=2,
        batch=6,
        reference_batch=6,
        lr=0.02,
        divisor=64.0,
        precision="fp32",
        crops="random",
        snapshots=[],
    )
    job = Job(ModelOptions(width=0.125, init="he"), recipe, CheckpointOptions(), str(tmp_path / "one"), "cuda")
    one = fit(job, GPU, *stores, inputs)
    two = replace(job, out=str(tmp_path / "two"), train_cache=str(store_folders[0]), val_cache=str(store_folders[1]))
    two.write(tmp_path / "two" / "job.json")
    launch("zfnet.training.worker", tmp_path / "two" / "job.json", processes=2)
    lines = read_metrics(tmp_path / "two")
    np.testing.assert_allclose([line["loss"] for line in lines], [line["loss"] for line in one["history"]], rtol=1e-2)


def test_batches_and_evaluation_give_a_gpu_what_they_give_the_cpu(stores, inputs, wrap):
    train, val = stores
    model = build("zfnet", 3, 32, width=0.25)
    model.initialize("he", seed=0)
    plan = plan_epoch(len(train), train.size, "random", 0, 0)
    both = [list(batches(train, inputs, plan, range(4), 6, world, Dropouts(model, 0), 0)) for world in (GPU, CPU)]
    for found, wanted in zip(*both, strict=True):
        assert found.inputs.is_cuda and found.inputs.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(found.inputs.cpu(), wanted.inputs, rtol=1e-5, atol=1e-5)
        assert found.labels.tolist() == wanted.labels.tolist()
        assert {name: mask.shape for name, mask in found.masks.items()} == {
            name: mask.shape for name, mask in wanted.masks.items()
        }
    rows = np.arange(len(val))
    for crops in ("center", "ten"):
        on_gpu, on_cpu = [
            next(predict(wrap(model.to(world.device)), val, rows, crops))[1].cpu() for world in (GPU, CPU)
        ]
        torch.testing.assert_close(on_gpu, on_cpu, rtol=0, atol=5e-3)


@pytest.mark.parametrize(("first", "then"), [(GPU, CPU), (CPU, GPU)])
def test_a_checkpoint_resumes_on_another_device(stores, inputs, tmp_path, monkeypatch, first, then):
    recipe = TrainOptions(
        epochs=4, batch=6, reference_batch=6, lr=0.02, schedule="cosine", precision="fp32", crops="random", snapshots=[]
    )
    job = Job(ModelOptions(width=0.125, init="he"), recipe, CheckpointOptions(), str(tmp_path), first.device.type)

    class Interrupted(module.Renormalizer):
        calls = 0

        def __call__(self):
            super().__call__()
            Interrupted.calls += 1
            if Interrupted.calls == 7:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(module, "Renormalizer", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(job, first, *stores, inputs)
    monkeypatch.undo()
    kept = (tmp_path / "metrics.jsonl").read_text()
    numbers = fit(job, then, *stores, inputs)
    assert (tmp_path / "metrics.jsonl").read_text().startswith(kept) and len(numbers["history"]) == 4
    assert all(np.isfinite(line["loss"]) for line in numbers["history"])

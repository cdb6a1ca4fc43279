"""The part of the benchmark that needs a GPU, all of it on the CPU at a tiny size; without a GPU it steps aside."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import distributed as dist

from zfnet.bench import gpu
from zfnet.bench.__main__ import main

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")
TINY = gpu.Sizes(36, 0.125, 24, batches=(4, 8), steps=2, compared=20, per_class=1, product=64, rounds=1)


@pytest.mark.filterwarnings("ignore::UserWarning:torch.profiler")
def test_all_of_it_runs_on_a_cpu_and_gives_whole_rows(picture_folder, monkeypatch, capfd):
    monkeypatch.setattr(gpu, "draw_photographs", lambda folder, per_class: picture_folder)  # quicker than drawing
    rows = gpu.measure(CPU, TINY)
    printed = capfd.readouterr().out
    assert [row["name"].removeprefix("GPU: ") for row in rows] == [
        *(f"{what}, 32 px, batch {size}" for size in (4, 8) for what in ("training from JPEGs", "share of peak")),
        *("the step with LRN", "LRN, forward", "LRN, forward and backward", "ten-crop evaluation, 32 px"),
        *("bf16 loss, first 20 steps", "the step through gloo"),
    ]
    assert all(row["ours"] > 0 and row["peer"] > 0 and math.isfinite(row["ratio"]) for row in rows)
    assert printed.count("where a step's time goes: ") == 2 and "conv" in printed
    assert not dist.is_initialized()


def test_flops_of_a_step_are_those_of_the_papers_network_without_its_lrn():
    assert gpu.flops_of_step(gpu.Sizes()) == pytest.approx(6.67e9, rel=1e-3)


def test_flops_of_a_step_by_hand():
    sizes = gpu.Sizes(frame=32, width=0.125, classes=24)
    model = gpu.build("zfnet", 24, 28, 0.125)
    total, x = 0, torch.zeros(1, 3, 28, 28)
    for name, module in model.named_children():
        x = module(x)
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            products = x[0].numel() * module.weight[0].numel()
            total += 2 * products * (2 if name == "conv1" else 3)  # forward, weights, and inputs but the images
    assert gpu.flops_of_step(sizes) == total


def test_shares_of_the_heaviest_operators_fall_and_stay_within_the_whole():
    model = gpu.network(TINY, CPU)
    step = gpu.training_step(model, "fp32")
    x = torch.randn(4, 3, 32, 32)
    batch = gpu.Batch(0, x, torch.arange(4), gpu.Dropouts(model, 0).masks(4, 0, gpu.World(0, 1, CPU)), 4)
    shares = [share for _, share in gpu.heaviest(step, batch, 3)]
    assert len(shares) == 3 and shares == sorted(shares, reverse=True) and 0 < sum(shares) < 1


def test_losses_that_part_are_named(stores, monkeypatch):
    losses = {"fp32": np.full(20, 2.0), "bf16": np.r_[np.full(10, 2.0), np.full(10, 2.2)]}
    losses["bf16"][0] += 1
    monkeypatch.setattr(gpu, "first_losses", lambda images, sizes, device, precision: losses[precision])
    row = gpu.loss_row(stores[0], TINY, CPU)
    assert row["ours"] == pytest.approx(10) and not row["holds"] and "step by step 50.00 %" in row["note"]


def test_a_sum_that_is_not_what_went_in_is_an_error(monkeypatch, stores):
    monkeypatch.setattr(dist, "all_reduce", lambda total: total.mul_(2))
    with pytest.raises(RuntimeError, match="gloo changed the gradients"):
        gpu.processes_row(stores[0], TINY, CPU)
    assert not dist.is_initialized()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_keeps_what_was_measured(tmp_path, capsys):
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"rows": [{"name": "old", "part": "gpu"}]}))
    assert main(["--out", str(tmp_path), "gpu"]) == 1
    assert capsys.readouterr().err == "zfnet.bench: gpu needs a GPU, and torch sees none; left out\n"
    assert json.loads(path.read_text())["rows"] == [{"name": "old", "part": "gpu"}]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.cuda
def test_it_runs_on_a_gpu(tmp_path):
    assert main(["--quick", "--out", str(tmp_path), "gpu"]) == 0

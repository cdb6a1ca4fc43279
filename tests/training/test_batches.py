"""The batch of a step: the planned crops of the planned images, in order, whoever prepares them."""

import numpy as np
import pytest
import torch

from zfnet.experiments.train.figure import draw_history
from zfnet.networks.convnet import build
from zfnet.training import batches as module
from zfnet.training.batches import Dropouts, batches
from zfnet.training.distributed import World
from zfnet.training.health import dead_units
from zfnet.training.sampling import dropout_masks, plan_epoch

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture
def model():
    return build("zfnet", 3, 32, width=0.125)


def planned(images, inputs, model, world=ALONE, steps=range(5)):
    plan = plan_epoch(len(images), images.size, "random", seed=3, epoch=1)
    return plan, list(batches(images, inputs, plan, steps, 5, world, Dropouts(model, seed=3), first=10))


def test_a_step_gets_the_planned_crops_mirrored_and_normalized(stores, inputs, model):
    images = stores[0]
    plan, made = planned(images, inputs, model)
    assert [batch.step for batch in made] == [0, 1, 2, 3, 4] and [batch.whole for batch in made] == [5, 5, 5, 5, 4]
    for batch in made:
        rows = plan.order[5 * batch.step : 5 * batch.step + 5]
        assert batch.labels.tolist() == images.index.labels[rows].tolist()
        for x, row in zip(batch.inputs, rows, strict=True):
            window = slice(plan.top[row], plan.top[row] + 32), slice(plan.left[row], plan.left[row] + 32)
            literal = (images.pixels[row][window].astype(np.float32) - inputs.mean[window]) / 64
            literal = literal[:, ::-1] if plan.flip[row] else literal
            np.testing.assert_allclose(x.permute(1, 2, 0).numpy(), literal, rtol=1e-5, atol=1e-5)


def test_the_number_of_threads_and_batches_ahead_changes_nothing(stores, inputs, model, monkeypatch):
    _, many = planned(stores[0], inputs, model)
    monkeypatch.setattr(module, "THREADS", 1)
    monkeypatch.setattr(module, "AHEAD", 1)
    _, single = planned(stores[0], inputs, model)
    for a, b in zip(many, single, strict=True):
        assert torch.equal(a.inputs, b.inputs) and torch.equal(a.masks["drop6"], b.masks["drop6"])


def test_the_shares_of_two_processes_are_the_whole_batch(stores, inputs, model):
    _, whole = planned(stores[0], inputs, model)
    parts = [planned(stores[0], inputs, model, World(rank, 2, torch.device("cpu")))[1] for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert torch.equal(batch.inputs[0::2], first.inputs) and torch.equal(batch.inputs[1::2], second.inputs)
        assert torch.equal(batch.masks["drop7"][1::2], second.masks["drop7"]) and second.whole == batch.whole


def test_masks_belong_to_the_step_of_the_training(stores, inputs, model):
    _, made = planned(stores[0], inputs, model)
    literal = dropout_masks({"drop6": model.fc6.out_features, "drop7": model.fc7.out_features}, 0.5, 5, seed=3, step=12)
    assert torch.equal(made[2].masks["drop7"], literal["drop7"])


def test_batches_that_are_left_early_ends_its_threads(stores, inputs, model):
    plan = plan_epoch(len(stores[0]), stores[0].size, "random", 0, 0)
    for _ in batches(stores[0], inputs, plan, range(5), 5, ALONE, Dropouts(model, 0), 0):
        break


def test_dead_units_counts_what_never_fires(stores, model, wrap):
    with torch.no_grad():
        model.conv2.weight[:3], model.conv2.bias[:3] = 0, -1
        model.fc7.weight.zero_()
        model.fc7.bias.fill_(-1)
    shares = dead_units(wrap(model), stores[1])
    assert list(shares) == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]
    assert shares["conv2"] >= 3 / model.conv2.out_channels and shares["fc7"] == 1 and shares["conv1"] < 1


def test_the_course_of_a_training_is_drawn(tmp_path):
    layers = {"conv1": 0.1, "conv2": 0.05}
    line = {"loss": 2.0, "val_top1_error": 50.0, "val_top5_error": 20.0, "lr": 0.01, "images_per_second": 900.0}
    line |= {"rms_mean": layers, "rms_max": layers, "clipped_filters": layers, "dead_units": {**layers, "fc6": 0.0}}
    figures = draw_history([{"epoch": 1, **line}, {"epoch": 2, **line}], tmp_path)
    for name in figures:
        text = (tmp_path / name).read_text()
        assert text.startswith("<svg")
    assert "Units that never fire" in text and "fc6" in text

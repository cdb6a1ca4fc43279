"""The small pieces of the training: renormalization, schedule, plans, masks, checkpoints."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from zfnet.data.crops import ten_crop_places
from zfnet.training import checkpoint
from zfnet.training.distributed import World
from zfnet.training.options import TrainOptions
from zfnet.training.renormalize import Renormalizer, filter_rms
from zfnet.training.sampling import SPREAD, dropout_masks, plan_epoch
from zfnet.training.schedule import count_plateaus, has_converged, learning_rate


def two_layers():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Conv2d(8, 4, 3))


def test_only_filters_above_the_radius_are_scaled_back_to_it():
    net = two_layers()
    with torch.no_grad():
        net[2].weight[0] *= 100
        net[2].bias.fill_(50.0)
    before = net[2].weight.detach().clone()
    Renormalizer(net, radius=0.1, divisor=1.0)()
    for old, new in zip(before.detach(), net[2].weight.detach(), strict=True):  # filter by filter, [ZF13] 3
        rms = float((old.double() ** 2).mean() ** 0.5)
        expected = old * (0.1 / rms) if rms > 0.1 else old
        torch.testing.assert_close(new, expected)
    assert filter_rms(net[2].weight).max() <= 0.1 + 1e-6 and (net[2].bias == 50).all()


def test_the_first_radius_follows_the_scale_of_the_inputs():
    net = two_layers()
    with torch.no_grad():
        net[0].weight.copy_(torch.randn_like(net[0].weight) * 10)
    renormalize = Renormalizer(net, radius=0.1, divisor=64.0)
    renormalize()
    torch.testing.assert_close(filter_rms(net[0].weight), torch.full((8,), 6.4))
    found = renormalize.measure()
    assert found["clipped_filters"]["0"] == 1.0 and found["rms_mean"]["0"] == pytest.approx(0.1)
    assert found["rms_max"]["2"] == pytest.approx(float((net[2].weight.detach() ** 2).mean((1, 2, 3)).sqrt().max()))
    unclipped = two_layers()
    with torch.no_grad():
        unclipped[0].weight.mul_(1e3)
    before = unclipped[0].weight.clone()
    never = Renormalizer(unclipped, radius=0.0, divisor=1.0)
    never()
    assert never.measure()["clipped_filters"] == {"0": 0.0, "2": 0.0}
    assert torch.equal(before, unclipped[0].weight)


def test_the_rate_falls_when_the_error_stops_falling():
    assert count_plateaus([50, 40, 41, 42, 39, 39.5, 39.2, 39.1], patience=3) == 1
    assert count_plateaus([50, 51, 52, 53, 54, 55, 56], patience=3) == 2
    config = TrainOptions(lr=0.01, schedule="plateau", patience=2, factor=0.1)
    assert learning_rate(config, 3, [50, 40, 41]) == pytest.approx(0.01)
    assert learning_rate(config, 4, [50, 40, 41, 42]) == pytest.approx(0.001)


def test_a_training_has_converged_at_its_last_plateau():
    rule = TrainOptions(schedule="plateau", patience=2, stop_after=2)
    errors = [50, 40, 41, 42, 39, 39, 40]  # plateaus after the fourth and the seventh epoch
    assert [has_converged(rule, errors[:n]) for n in range(1, 8)] == [False] * 6 + [True]
    assert not has_converged(replace(rule, stop_after=0), errors)
    assert not has_converged(replace(rule, schedule="cosine"), errors)


def test_step_cosine_and_warm_up():
    step = TrainOptions(lr=1.0, schedule="step", milestones=[2, 4], factor=0.1)
    assert [learning_rate(step, epoch, []) for epoch in (0, 1.9, 2, 4.5)] == pytest.approx([1, 1, 0.1, 0.01])
    cosine = TrainOptions(lr=1.0, schedule="cosine", epochs=10)
    assert learning_rate(cosine, 5, []) == pytest.approx(0.5) and learning_rate(cosine, 10, []) == pytest.approx(0)
    warm = TrainOptions(lr=1.0, schedule="constant", warmup_epochs=2)
    assert learning_rate(warm, 1, []) == pytest.approx(0.5, abs=1e-3) and learning_rate(warm, 2, []) == 1


def test_the_rate_grows_with_the_batch_and_a_large_batch_is_warmed_up():
    large = TrainOptions(lr=0.01, batch=1024, schedule="constant", warmup_epochs=5)
    assert learning_rate(TrainOptions(lr=0.01, batch=128, schedule="constant"), 0, []) == pytest.approx(0.01)
    assert learning_rate(large, 6, []) == pytest.approx(0.08)
    assert learning_rate(large, 0, []) < 1e-4 and learning_rate(large, 2.5, []) == pytest.approx(0.04, rel=1e-3)
    assert learning_rate(TrainOptions(lr=0.01, batch=32, schedule="constant"), 0, []) == pytest.approx(0.0025)


def test_a_plan_is_a_function_of_seed_and_epoch_alone():
    plan, again, other = (plan_epoch(50, 64, "random", 1, epoch) for epoch in (3, 3, 4))
    assert all(np.array_equal(getattr(plan, name), getattr(again, name)) for name in vars(plan))
    assert sorted(plan.order) == list(range(50)) and not np.array_equal(plan.order, other.order)
    assert plan.top.min() >= 0 and plan.top.max() <= 8 and 0 < plan.flip.mean() < 1


def test_ten_crop_training_uses_only_the_ten_places():
    plan = plan_epoch(400, 64, "ten", 0, 0)
    used = set(zip(plan.top.tolist(), plan.left.tolist(), plan.flip.tolist(), strict=True))
    assert used == set(ten_crop_places(64))


def test_masks_drop_the_stated_share_and_keep_the_mean():
    mask = dropout_masks({"drop6": 4000}, 0.5, 8, seed=2, step=9)["drop6"]
    assert set(mask.unique().tolist()) == {0.0, 2.0} and mask.mean().item() == pytest.approx(1, abs=0.05)
    assert not torch.equal(mask, dropout_masks({"drop6": 4000}, 0.5, 8, seed=2, step=10)["drop6"])
    assert not torch.equal(mask, dropout_masks({"drop6": 4000}, 0.5, 8, seed=3, step=9)["drop6"])


def test_no_step_of_a_training_has_the_masks_of_another_seed():
    first = np.sort([seed * SPREAD % 2**32 for seed in range(100)])
    assert np.diff(np.append(first, first[0] + 2**32)).min() > 10_000_000  # steps


def test_the_newest_whole_checkpoint_is_used_and_the_last_few_kept(tmp_path, capsys):
    net = two_layers()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    for epoch in range(4):
        net[0].bias.data.fill_(epoch)
        checkpoint.save(tmp_path, net, optimizer, checkpoint.Place(epoch=epoch), "key", keep=2)
    files = sorted(tmp_path.glob("*/at_*.pt"))
    assert len(files) == 2
    files[-1].write_bytes(files[-1].read_bytes()[:1000])
    place = checkpoint.restore(tmp_path, net, optimizer, "key", 9, set())
    assert place.epoch == 2 and (net[0].bias == 2).all()
    assert "damaged" in capsys.readouterr().err
    assert checkpoint.restore(tmp_path, net, optimizer, "another key", 9, set()).epoch == 0


def test_a_checkpoint_of_a_longer_training_is_not_resumed_by_a_shorter_one(tmp_path):
    net = two_layers()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    for epoch, step in ((1, 0), (2, 0), (2, 5), (3, 0)):
        checkpoint.save(tmp_path, net, optimizer, checkpoint.Place(epoch=epoch, step=step), "key", keep=4)
    for epochs, found in ((2, (2, 0)), (3, (3, 0)), (1, (1, 0))):
        place = checkpoint.restore(tmp_path, net, optimizer, "key", epochs, set())
        assert (place.epoch, place.step) == found


@pytest.mark.parametrize("kind", ["bit", "cut"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, capsys, kind):
    net, random = two_layers(), np.random.default_rng(0)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    for epoch in (1, 2):
        net[0].weight.data.fill_(epoch)
        checkpoint.save(tmp_path, net, optimizer, checkpoint.Place(epoch=epoch), "key", keep=2)
    newest = sorted(tmp_path.glob("*/at_*.pt"))[-1]
    good = newest.read_bytes()
    for _ in range(40):
        data = bytearray(good)
        if kind == "bit":
            data[random.integers(len(good))] ^= 1 << int(random.integers(8))
        else:
            del data[random.integers(len(good)) :]
        newest.write_bytes(data)
        checkpoint.report_damage.cache_clear()
        assert checkpoint.restore(tmp_path, net, optimizer, "key", 9, set()).epoch == 1 and (net[0].weight == 1).all()
        errors = capsys.readouterr().err
        assert errors.count("\n") == 1 and f"{newest}: damaged" in errors
    newest.write_bytes(good)
    assert checkpoint.restore(tmp_path, net, optimizer, "key", 9, set()).epoch == 2 and (net[0].weight == 2).all()


def test_a_checkpoint_is_known_by_its_content_and_not_by_its_place(tmp_path, capsys):
    net = two_layers()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    checkpoint.save(tmp_path / "a", net, optimizer, checkpoint.Place(epoch=3), "seed 7", keep=2)
    checkpoint.save(tmp_path / "b", net, optimizer, checkpoint.Place(epoch=2), "seed 0", keep=2)
    (stranger,), (own,) = ((tmp_path / folder).glob("*/at_*.pt") for folder in "ab")
    stranger.rename(own.with_name(stranger.name))
    assert checkpoint.restore(tmp_path / "b", net, optimizer, "seed 0", 9, set()).epoch == 2
    assert "not a checkpoint of this training" in capsys.readouterr().err


def test_checkpoints_of_another_configuration_give_way_to_the_new_ones(tmp_path):
    net = two_layers()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    (tmp_path / "at_0099_0000000.pt").write_bytes(b"of an older layout")
    for epoch in (70, 71):
        checkpoint.save(tmp_path, net, optimizer, checkpoint.Place(epoch=epoch), "old recipe", keep=2)
    assert checkpoint.restore(tmp_path, net, optimizer, "new recipe", 9, set()) == checkpoint.Place()
    for epoch in (1, 2, 3):
        checkpoint.save(tmp_path, net, optimizer, checkpoint.Place(epoch=epoch), "new recipe", keep=2)
    assert [path.name for path in sorted(tmp_path.rglob("*.pt"))] == ["at_0002_0000000.pt", "at_0003_0000000.pt"]
    assert checkpoint.restore(tmp_path, net, optimizer, "new recipe", 9, set()).epoch == 3


def test_a_checkpoint_that_was_passed_over_as_damaged_does_not_outlive_the_next(tmp_path):
    net = two_layers()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    for epoch in (1, 2):
        checkpoint.save(tmp_path, net, optimizer, checkpoint.Place(epoch=epoch), "key", keep=1)
    checkpoint.save(tmp_path, net, optimizer, checkpoint.Place(epoch=1, step=5), "key", keep=1)
    assert [path.name for path in tmp_path.rglob("*.pt")] == ["at_0001_0000005.pt"]


def test_processes_agree_on_several_flags_in_one_exchange(monkeypatch):
    exchanges = []

    def meet(values):  # another process, which says (yes, no, no)
        exchanges.append(values.clone())
        values += torch.tensor([1.0, 0.0, 0.0])

    monkeypatch.setattr("torch.distributed.all_reduce", meet)
    assert World(1, 2, torch.device("cpu")).any(True, True, False) == [True, True, False]
    assert World(0, 2, torch.device("cpu")).any(False, False, False) == [True, False, False]
    assert len(exchanges) == 2
    assert World(0, 1, torch.device("cpu")).any(False, True) == [False, True] and len(exchanges) == 2

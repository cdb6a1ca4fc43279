"""The long loop: it learns, it resumes exactly, several processes equal one."""

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from zfnet.core.errors import UserError
from zfnet.core.metrics import log_metrics, read_metrics
from zfnet.data.cache.images import open_cache
from zfnet.networks.checkpoint import load_trained
from zfnet.networks.convnet import build
from zfnet.networks.inputs import Inputs
from zfnet.networks.options import ModelOptions
from zfnet.networks.predict import predict
from zfnet.training import fit as module
from zfnet.training import health
from zfnet.training.distributed import World, launch
from zfnet.training.evaluate import errors
from zfnet.training.fit import Job, fit
from zfnet.training.interrupt import StopOnInterrupt
from zfnet.training.options import CheckpointOptions, TrainOptions
from zfnet.training.run import run_job

ALONE = World(0, 1, torch.device("cpu"))
MODEL = ModelOptions(width=0.125, init="he")
RECIPE = TrainOptions(
    epochs=4,
    batch=6,
    reference_batch=6,
    lr=0.02,
    schedule="cosine",
    divisor=64.0,
    crops="random",
    precision="fp32",
    snapshots=[1],
)


def job(out, **changes):
    return Job(MODEL, replace(RECIPE, **changes), CheckpointOptions(), str(out), "cpu")


def write_job(out, train, val):
    """For processes that open the image caches themselves."""
    work = job(out)
    work.train_cache, work.val_cache = str(train), str(val)
    work.write(out / "job.json")


def write_worker(folder, does):
    """The module `sabotaged`: the worker, but after the sixth update, in the second epoch, and each later one it `does`
    something; `mark` is a file beside the job."""
    (folder / "sabotaged.py").write_text(
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from zfnet.training import fit, worker\n"
        "mark = Path(sys.argv[1]).with_name('mark')\n"
        "class Sabotaged(fit.Renormalizer):\n"
        "    calls = 0\n"
        "    def __call__(self):\n"
        "        super().__call__()\n"
        "        Sabotaged.calls += 1\n"
        "        if Sabotaged.calls >= 6:\n"
        f"            {does}\n"
        "fit.Renormalizer = Sabotaged\n"
        "if __name__ == '__main__':\n"
        "    sys.exit(worker.main(sys.argv[1]))\n"
    )


def weights(out):
    return load_trained(Path(out) / "model.pt").module.state_dict()


def assert_same_weights(a, b, **tolerance):
    for name, value in weights(a).items():
        torch.testing.assert_close(value, weights(b)[name], **(tolerance or {"rtol": 0, "atol": 0}))


@pytest.fixture(scope="module")
def trained(store_folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    train, val = [open_cache(folder) for folder in store_folders]
    return out, fit(job(out), ALONE, train, val, Inputs.of_mean_image(train.mean, 64.0))


def test_it_learns_what_can_be_learnt(stores, inputs, tmp_path):
    numbers = fit(job(tmp_path, epochs=14), ALONE, *stores, inputs)
    assert numbers["top1_error"] <= 34 and numbers["chance_top1"] == pytest.approx(200 / 3)
    assert numbers["history"][-1]["loss"] < 0.8 * numbers["history"][0]["loss"]


def test_it_leaves_model_snapshots_and_metrics(trained):
    out, numbers = trained
    assert sorted(path.name for path in (out / "snapshots").iterdir()) == ["epoch_0001.pt", "epoch_0004.pt"]
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 4 == len(numbers["history"])
    assert numbers["n_train"] == 24 and numbers["n_val"] == 6
    line = numbers["history"][-1]
    assert {"loss", "lr", "images_per_second", "val_top1_error"} <= set(line)
    for key in ("rms_mean", "rms_max", "clipped_filters"):
        assert list(line[key]) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    assert numbers["center"]["top1_error"] == line["val_top1_error"]


@pytest.mark.parametrize("steps", [2, 4, 7])  # in the middle of an epoch, at its end, in the next one
def test_interrupted_and_resumed_equals_uninterrupted(trained, stores, inputs, tmp_path, monkeypatch, steps):
    calls = 0

    class Interrupted(module.Renormalizer):
        def __call__(self):
            nonlocal calls
            super().__call__()
            calls += 1
            if calls == steps:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(module, "Renormalizer", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(job(tmp_path), ALONE, *stores, inputs)
    monkeypatch.undo()
    assert list((tmp_path / "checkpoints").glob("*/at_*.pt"))
    log_metrics(tmp_path, epoch=99)  # a line of an epoch that no checkpoint knows
    numbers = fit(job(tmp_path), ALONE, *stores, inputs)
    assert_same_weights(trained[0], tmp_path)
    assert read_metrics(tmp_path) == numbers["history"]
    assert [line["loss"] for line in numbers["history"]] == [line["loss"] for line in trained[1]["history"]]


def test_two_processes_equal_one_with_the_same_global_batch(trained, store_folders, tmp_path):
    write_job(tmp_path, *store_folders)
    launch("zfnet.training.worker", tmp_path / "job.json", processes=2)
    assert_same_weights(trained[0], tmp_path, rtol=1e-4, atol=1e-5)
    numbers = json.loads((tmp_path / "trained.json").read_text())
    assert numbers["processes"] == 2
    for two, one in zip(numbers["history"], trained[1]["history"], strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert two["val_top1_error"] == one["val_top1_error"]
    assert numbers["top1_error"] == trained[1]["top1_error"]


def test_what_a_restart_cannot_mend_is_said_once_and_raised(store_folders, tmp_path, capfd):
    write_job(tmp_path, store_folders[0], tmp_path / "nowhere")
    with pytest.raises(UserError, match="nowhere: not a complete image cache"):
        launch("zfnet.training.worker", tmp_path / "job.json", processes=2)
    assert "restart" not in capfd.readouterr().err.lower()


def test_a_training_cache_without_a_mean_image_is_refused(store_folders, tmp_path):
    work = job(tmp_path)
    work.train_cache = work.val_cache = str(store_folders[1])
    with pytest.raises(UserError, match="val: has no mean image; delete the folder, and the next run builds it again"):
        run_job(work)


def test_two_nodes_equal_one_process(trained, store_folders, tmp_path):
    """Two launchers on this machine that meet at a port, as README starts them on two machines."""
    write_job(tmp_path, *store_folders)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        meeting = f"localhost:{free.getsockname()[1]}"
    argument = str(tmp_path / "job.json")
    code = (
        "import pathlib; from zfnet.training.distributed import launch\n"
        f"launch('zfnet.training.worker', pathlib.Path({argument!r}), 1, nodes=2, rendezvous={meeting!r})"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as other:
        launch("zfnet.training.worker", tmp_path / "job.json", processes=1, nodes=2, rendezvous=meeting)
        assert other.wait(60) == 0
    assert json.loads((tmp_path / "trained.json").read_text())["processes"] == 2
    assert_same_weights(trained[0], tmp_path, rtol=1e-4, atol=1e-5)


def test_ten_crop_error_averages_the_probabilities_of_the_crops(trained, stores, inputs):
    network, val = load_trained(trained[0] / "model.pt"), stores[1]
    _, probabilities = next(predict(network, val, np.arange(6), "ten"))
    crops = network.inputs.ten_crops(val.frames(range(6)))
    with torch.no_grad():
        literal = sum(network.module(crops[:, i]).double().softmax(1) for i in range(10)) / 10
    torch.testing.assert_close(probabilities, literal, rtol=1e-4, atol=1e-6)
    wrong = (literal.argmax(1).numpy() != val.index.labels).mean()
    assert errors(network, val, ALONE, "ten")["top1_error"] == pytest.approx(100 * wrong)


def test_a_prediction_that_is_not_read_to_its_end_leaves_the_model_as_it_was(trained, stores):
    network = load_trained(trained[0] / "model.pt")
    network.module.train()
    batches = predict(network, stores[1], np.arange(6), "center", batch=2)
    next(batches)
    assert not network.module.training
    del batches
    assert network.module.training


def test_a_network_that_is_fine_tuned_starts_from_the_given_layers(trained, stores, inputs, tmp_path):
    start = load_trained(trained[0] / "model.pt")
    fit(job(tmp_path, epochs=1, lr=1e-9), ALONE, *stores, inputs, start)
    torch.testing.assert_close(weights(tmp_path)["conv3.weight"], start.module.conv3.weight.detach(), rtol=0, atol=1e-6)
    assert not torch.allclose(weights(tmp_path)["fc8.weight"], start.module.fc8.weight)


def test_another_network_to_start_from_is_another_training(trained, stores, inputs, tmp_path):
    start = load_trained(trained[0] / "model.pt")
    fit(job(tmp_path, epochs=1, lr=1e-9), ALONE, *stores, inputs, start)
    start.module.initialize("he", seed=5)
    fit(job(tmp_path, epochs=1, lr=1e-9), ALONE, *stores, inputs, start)
    torch.testing.assert_close(weights(tmp_path)["conv3.weight"], start.module.conv3.weight.detach(), rtol=0, atol=1e-6)


def test_other_pictures_under_the_same_names_are_another_training(trained, stores, inputs, tmp_path):
    shutil.copytree(trained[0], tmp_path / "same")
    train, val = stores
    dark = replace(train, pixels=np.asarray(train.pixels) // 2, checksums=None)
    assert dark.index.fingerprint() == train.index.fingerprint()
    for folder in ("same", "anew"):
        fit(job(tmp_path / folder), ALONE, dark, val, inputs)
    assert_same_weights(tmp_path / "same", tmp_path / "anew", rtol=0, atol=0)
    assert not torch.equal(weights(tmp_path / "same")["fc8.weight"], weights(trained[0])["fc8.weight"])


def test_an_ended_training_is_measured_again_only_on_other_images(trained, stores, inputs, tmp_path, monkeypatch):
    shutil.copytree(trained[0], tmp_path / "same")
    measured = []
    monkeypatch.setattr(module, "errors", lambda *given, **named: measured.append(1) or errors(*given, **named))
    again = replace(job(tmp_path / "same"), checkpoints=CheckpointOptions(minutes=1.0))
    assert fit(again, ALONE, *stores, inputs) == trained[1] and not measured
    assert read_metrics(tmp_path / "same") == trained[1]["history"]
    train, val = stores
    fewer = fit(again, ALONE, train, val.take(np.arange(4)), inputs)
    assert measured and fewer["n_val"] == 4 and fewer["history"] == trained[1]["history"]
    network = load_trained(tmp_path / "same" / "model.pt")
    assert fewer["center"] == errors(network, val.take(np.arange(4)), ALONE, "center", trained[1]["precision"])


@pytest.mark.parametrize("name", ["trained.json", "model.pt"])
@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "gone"])
def test_a_training_whose_files_are_damaged_is_ended_again(trained, stores, inputs, tmp_path, name, damage, capsys):
    out = Path(shutil.copytree(trained[0], tmp_path / "out"))
    good = (out / name).read_bytes()
    place = len(good) // 2
    flipped = good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :]
    (out / name).write_bytes({"bit": flipped, "cut": good[:place]}.get(damage, b""))
    if damage == "gone":
        (out / name).unlink()
    assert fit(job(out), ALONE, *stores, inputs) == trained[1]
    assert (out / name).read_bytes() == good
    assert (str(out / name) in capsys.readouterr().err) == ((name, damage) != ("trained.json", "gone"))


@pytest.mark.parametrize("damage", ["gone", "of another training"])
def test_a_lost_snapshot_is_made_again(trained, stores, inputs, tmp_path, damage, capsys):
    out = Path(shutil.copytree(trained[0], tmp_path / "out"))
    snapshot = out / "snapshots" / "epoch_0001.pt"
    good = snapshot.read_bytes()
    snapshot.unlink()
    if damage != "gone":
        shutil.copy(out / "snapshots" / "epoch_0004.pt", snapshot)
    assert fit(job(out), ALONE, *stores, inputs)["top1_error"] == trained[1]["top1_error"]
    assert snapshot.read_bytes() == good
    assert f"{snapshot}: missing or" in capsys.readouterr().err


def test_other_settings_keep_the_network_of_these_which_comes_back_with_them(
    trained, stores, inputs, tmp_path, capsys, monkeypatch
):
    out = Path(shutil.copytree(trained[0], tmp_path / "out"))
    files = ("model.pt", "trained.json", "snapshots/epoch_0001.pt", "snapshots/epoch_0004.pt")
    before = {name: (out / name).read_bytes() for name in files}
    monkeypatch.setattr(module, "log_metrics", interrupt_after(2))
    with pytest.raises(KeyboardInterrupt):
        fit(job(out, seed=7), ALONE, *stores, inputs)  # its first snapshot has replaced the other one
    monkeypatch.undo()
    assert (out / "snapshots" / "epoch_0001.pt").read_bytes() != before["snapshots/epoch_0001.pt"]
    assert f"other settings is replaced and kept in {out / 'previous'}" in capsys.readouterr().out
    assert fit(job(out), ALONE, *stores, inputs) == trained[1]
    assert {name: (out / name).read_bytes() for name in files} == before
    assert "brought back" in capsys.readouterr().out


def interrupt_after(calls):
    def call(*_, **__):
        nonlocal calls
        calls -= 1
        if not calls:
            raise KeyboardInterrupt

    return call


def test_more_epochs_continue_a_training_at_a_constant_rate(stores, inputs, tmp_path, monkeypatch):
    fit(job(tmp_path / "at once", schedule="constant", epochs=3), ALONE, *stores, inputs)
    fit(job(tmp_path / "later", schedule="constant", epochs=2), ALONE, *stores, inputs)
    lines = []
    monkeypatch.setattr(module, "log_metrics", lambda folder, **values: lines.append(values["epoch"]))
    fit(job(tmp_path / "later", schedule="constant", epochs=3), ALONE, *stores, inputs)
    assert lines == [3]
    assert_same_weights(tmp_path / "at once", tmp_path / "later")
    fit(job(tmp_path / "later", schedule="constant", epochs=2), ALONE, *stores, inputs)
    assert lines == [3]  # kept in previous/


def test_validation_images_belong_to_a_training_where_their_error_sets_the_rate(stores, inputs, tmp_path):
    train, val = stores
    for schedule, same in (("cosine", True), ("plateau", False)):
        work = job(tmp_path, schedule=schedule)
        keys = {module._job_key(work, train, images, inputs, None) for images in (val, val.take(np.arange(4)))}
        assert (len(keys) == 1) is same


def test_a_training_ends_when_its_error_has_stopped_falling(stores, inputs, tmp_path, monkeypatch):
    planted = [60.0, 50.0, 50.0, 50.0, 40.0, 45.0, 45.0]  # plateaus after the fourth and the seventh epoch
    measured, calls = module.errors, itertools.count()

    def after_each_epoch(*arguments):
        epoch = next(calls)
        return measured(*arguments) | ({"top1_error": planted[epoch]} if epoch < len(planted) else {})

    monkeypatch.setattr(module, "errors", after_each_epoch)
    rule = {"schedule": "plateau", "patience": 2, "stop_after": 2, "factor": 0.1, "epochs": 20, "warmup_epochs": 0}
    numbers = fit(job(tmp_path, **rule), ALONE, *stores, inputs)
    assert (numbers["epochs"], numbers["converged"]) == (7, True)
    assert [line["val_top1_error"] for line in numbers["history"]] == planted
    assert [line["lr"] for line in numbers["history"]] == pytest.approx([0.02] * 4 + [0.002] * 3)
    assert (tmp_path / "snapshots" / "epoch_0007.pt").exists()


@pytest.mark.parametrize(("epochs", "converged"), [(1, False), (9, True)])
def test_numbers_say_whether_a_training_has_converged(stores, inputs, tmp_path, epochs, converged):
    rule = {"schedule": "plateau", "patience": 1, "stop_after": 1, "lr": 1e-9, "rms_radius": 0.0, "epochs": epochs}
    numbers = fit(job(tmp_path, **rule), ALONE, *stores, inputs)
    assert numbers["converged"] is converged
    assert len(numbers["history"]) == numbers["epochs"] == (2 if converged else 1)


def test_a_loss_that_is_not_finite_names_the_layer(stores, inputs, tmp_path):
    with pytest.raises(UserError, match=r"not finite; try a lower train\.lr"):
        fit(job(tmp_path, lr=1e18, rms_radius=0.0, warmup_epochs=0), ALONE, *stores, inputs)


def test_a_loss_that_does_not_move_is_an_error(stores, inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(health, "STUCK_STEPS", 1)
    with pytest.raises(UserError, match=r"stays at .* ln\(classes\); the output of relu\d"):
        small = Job(replace(MODEL, init="paper"), replace(RECIPE, lr=1e-9), CheckpointOptions(), str(tmp_path), "cpu")
        fit(small, ALONE, *stores, inputs)


@pytest.mark.slow
def test_a_killed_worker_is_restarted_and_the_weights_are_the_same(trained, store_folders, tmp_path, monkeypatch):
    """kill -9 of one of two processes, once, in the second epoch."""
    write_job(tmp_path, *store_folders)
    kill = "os.kill(os.getpid(), signal.SIGKILL)"
    write_worker(tmp_path, f"if os.environ['RANK'] == '1' and not mark.exists(): mark.touch(); {kill}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    launch("sabotaged", tmp_path / "job.json", processes=2)
    assert (tmp_path / "mark").exists()
    assert_same_weights(trained[0], tmp_path, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_an_interrupt_reaches_all_processes_and_the_same_command_goes_on(trained, store_folders, tmp_path):
    """SIGINT to the process group of the command, as a terminal sends it, in the middle of the second epoch."""
    write_job(tmp_path, *store_folders)
    write_worker(tmp_path, "mark.touch(); time.sleep(0.2)")
    (tmp_path / "command.py").write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from zfnet.training.distributed import launch\n"
        "try:\n"
        "    launch(sys.argv[1], Path(sys.argv[2]), processes=2)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    words = [sys.executable, str(tmp_path / "command.py"), "sabotaged", str(tmp_path / "job.json")]
    search_path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": search_path}
    with subprocess.Popen(
        words, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as command:
        while not (tmp_path / "mark").exists():
            assert command.poll() is None
            time.sleep(0.05)
        os.killpg(command.pid, signal.SIGINT)
        assert command.wait(60) == 130
    assert not (tmp_path / "model.pt").exists()
    assert [path.name for path in (tmp_path / "checkpoints").glob("*/at_0001_*.pt")]
    launch("zfnet.training.worker", tmp_path / "job.json", processes=2)
    assert_same_weights(trained[0], tmp_path, rtol=1e-4, atol=1e-5)


def test_a_fit_hands_the_interrupt_back(stores, inputs, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with StopOnInterrupt() as outer:
        fit(job(tmp_path, epochs=1), ALONE, *stores, inputs)
        os.kill(os.getpid(), signal.SIGINT)
        assert outer.asked
        with pytest.raises(KeyboardInterrupt):  # the second one
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is before


def test_seeded_forward_without_masks_is_the_model():
    model = build("zfnet", 3, 32, width=0.125).eval()
    x = torch.randn(2, 3, 32, 32)
    masks = {name: torch.ones(1) for name in ("drop6", "drop7")}
    torch.testing.assert_close(module.Seeded(model)(x, masks), model(x))

"""Several networks as one: probabilities averaged exactly, Table 2 row by row, through the stage."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from zfnet.data.cache.images import open_cache
from zfnet.experiments.ablations.options import AblationsOptions
from zfnet.experiments.ensemble.compute import ranking_errors, table2, ten_crop_probabilities
from zfnet.experiments.ensemble.options import EnsembleOptions
from zfnet.experiments.table import Config
from zfnet.networks.checkpoint import load_trained
from zfnet.networks.convnet import build
from zfnet.networks.options import ModelOptions
from zfnet.pipeline.options import PathsOptions
from zfnet.running.runner import STAGES, context_of
from zfnet.training.options import TrainOptions


@pytest.fixture
def config(store_folders, tmp_path):
    for name, folder in zip(("train", "val"), store_folders, strict=True):
        shutil.copytree(folder, tmp_path / "menagerie" / "data" / name)
    recipe = TrainOptions(
        epochs=1,
        batch=6,
        reference_batch=6,
        lr=0.02,
        divisor=64.0,
        precision="fp32",
        snapshots=[],
        crops="random",
    )
    return Config(
        paths=PathsOptions(outputs=str(tmp_path)),
        device="cpu",
        model=ModelOptions(width=0.125, init="he"),
        train=recipe,
        ensemble=EnsembleOptions(seeds=[0, 1, 2], wide=True),
        ablations=AblationsOptions(rows=["zfnet", "zfnet-noclip", "krizhevsky"]),
    )


def run(name, config):
    """What a stage returns, run on the caches as they lie there."""
    return STAGES[name].run(context_of(STAGES[name], config))


def weights(folder):
    return load_trained(folder / "model.pt").module.state_dict()


def literal_errors(networks, images):
    """Image by image, network by network, crop by crop, class by class, in Python's floats."""
    wrong1 = wrong5 = 0
    for row in range(len(images)):
        total = [0.0] * len(networks[0].classes)
        for network in networks:
            for crop in network.inputs.ten_crops(images.frames([row]))[0]:
                with torch.no_grad():
                    scores = network.module(crop[None])[0].double()
                for k, p in enumerate((scores.exp() / scores.exp().sum()).tolist()):
                    total[k] += p / 10 / len(networks)
        order = sorted(range(len(total)), key=lambda k: -total[k])
        wrong1 += order[0] != images.index.labels[row]
        wrong5 += images.index.labels[row] not in order[:5]
    return {"top1_error": 100 * wrong1 / len(images), "top5_error": 100 * wrong5 / len(images)}


def test_the_average_is_that_of_every_crop_of_every_network(stores, wrap):
    images, networks = stores[1], []
    for seed in (0, 1, 2):
        model = build("zfnet", 3, 32, width=0.125)
        model.initialize("he", seed)
        networks.append(wrap(model))
    probabilities = [ten_crop_probabilities(place, images, "fp32", *networks) for place in range(3)]
    assert probabilities[0].dtype == np.float64 and np.allclose(probabilities[0].sum(1), 1, atol=1e-12)
    rows = table2(probabilities[:2], probabilities[2], images.index.labels)
    assert rows["average"]["n_networks"] == 2 and rows["all"]["n_networks"] == 3
    for row, together in {"average": networks[:2], "all": networks, "other": networks[2:]}.items():
        for kind, percent in literal_errors(together, images).items():
            assert rows[row][kind]["value"] == pytest.approx(percent) and rows[row][kind]["n"] == len(images)
    singles = [literal_errors([network], images)["top1_error"] for network in networks[:2]]
    assert rows["single"]["top1_error"]["repeats"] == pytest.approx(singles)


def test_averaging_turns_a_minority_of_confident_errors():
    sure, wrong = [0.6, 0.4], [0.1, 0.9]
    labels = np.array([0])
    rows = table2([np.array([p]) for p in (sure, sure, [0.9, 0.1])], np.array([wrong]), labels)
    assert rows["average"]["top1_error"]["value"] == 0 and rows["other"]["top1_error"]["value"] == 100
    assert rows["all"]["top1_error"]["value"] == 0 and rows["single"]["top1_error"]["std"] == 0  # mean (0.55, 0.45)


def test_one_network_alone_has_no_average():
    rows = table2([np.array([[0.6, 0.4]])], None, np.array([1]))
    assert set(rows) == {"single"} and rows["single"]["top1_error"]["value"] == 100


def test_the_fifth_class_counts_and_the_sixth_does_not():
    p = np.tile(np.array([0.3, 0.25, 0.2, 0.12, 0.08, 0.05]), (2, 1))
    assert ranking_errors(p, np.array([4, 5])) == {"top1_error": 100, "top5_error": 50}


def test_the_stage_reuses_the_trained_network_and_goes_on_where_it_stopped(config, tmp_path):
    folder = tmp_path / "menagerie"
    run("train", config)
    numbers = run("ensemble", config).numbers
    assert numbers["seeds"] == [0, 1, 2] and numbers["all"]["n_networks"] == 4
    assert sorted(path.name for path in (folder / "ensemble").iterdir()) == ["seed_1", "seed_2", "wide"]
    first = json.loads((folder / "train" / "trained.json").read_text())
    assert numbers["single"]["top1_error"]["repeats"][0] == first["top1_error"]
    assert len(weights(folder / "ensemble" / "wide")["conv4.weight"]) == 128  # an eighth of 1024
    parts = [
        json.loads((folder / "ensemble" / name / "trained.json").read_text()) for name in ("seed_1", "seed_2", "wide")
    ]
    assert numbers["train_seconds"] == pytest.approx(sum(part["train_seconds"] for part in parts))
    before = weights(folder / "ensemble" / "seed_1")
    (folder / "ensemble" / "seed_1" / "model.pt").unlink()  # its checkpoint is there: nothing is trained again
    again = run("ensemble", config).numbers
    after = weights(folder / "ensemble" / "seed_1")
    assert again == numbers and all(torch.equal(before[name], after[name]) for name in before)


def test_table_3_takes_the_networks_that_other_stages_have_trained(config, tmp_path):
    config = replace(
        config,
        ensemble=EnsembleOptions(seeds=[1], wide=False),
        ablations=AblationsOptions(rows=["zfnet"], seeds=[0, 1, 2]),
    )
    run("train", config)
    run("ensemble", config)
    row = run("ablations", config).numbers["rows"]["zfnet"]
    folder = tmp_path / "menagerie"
    assert [path.name for path in (folder / "ablations" / "zfnet").iterdir()] == ["seed_2"]
    trained = [folder / "train", folder / "ensemble" / "seed_1", folder / "ablations" / "zfnet" / "seed_2"]
    errors = [json.loads((path / "trained.json").read_text())["top1_error"] for path in trained]
    assert row["val_top1_error"]["repeats"] == errors
    assert row["folders"] == ["train", "ensemble/seed_1", "ablations/zfnet/seed_2"]
    assert row["converged"] is False and row["training"] == "not converged after 1, 1, 1 epochs"


def test_the_stage_says_why_it_did_not_run(config):
    outcome = run("ensemble", replace(config, ensemble=EnsembleOptions(seeds=[0], wide=False)))
    assert "ensemble.seeds is empty" in outcome.numbers["skipped"] and outcome.headline.startswith("not run")


def test_the_ablations_can_train_at_the_papers_scale_and_the_first_layer_compares_them(config):
    config = replace(config, ablations=replace(config.ablations, rows=["zfnet"], paperscale_epochs=1))
    numbers = run("ablations", config).numbers
    rows = numbers["rows"]
    assert list(rows) == ["zfnet", "zfnet-paperscale", "zfnet-paperscale-noclip"]
    assert rows["zfnet"]["rms_conv1"] < 0.01 < rows["zfnet-paperscale"]["rms_conv1"] <= 0.1
    assert rows["zfnet-paperscale-noclip"]["clipped_conv1"] == 0
    run("train", config)
    context = context_of(STAGES["first_layer"], config)
    context = replace(context, result_of={"ablations": {"numbers": numbers}}.get)
    networks = STAGES["first_layer"].run(context).numbers["networks"]
    assert {"zfnet, paper's scale", "zfnet, paper's scale, no RMS clipping"} <= set(networks)


def test_the_ablations_can_train_on_the_first_classes_only(config, tmp_path):
    folder = tmp_path / "menagerie"
    config = replace(config, ablations=replace(config.ablations, rows=["zfnet"], n_classes=2))
    numbers = run("ablations", config).numbers
    whole, few = [open_cache(path / "train") for path in (folder / "data", folder / "ablations" / "images")]
    network = load_trained(folder / "ablations" / "zfnet" / "seed_0" / "model.pt")
    assert len(network.classes) == 2 < len(whole.index.classes)
    assert list(few.index.paths) == list(whole.index.paths[whole.index.labels < 2])
    trained = json.loads((folder / "ablations" / "zfnet" / "seed_0" / "trained.json").read_text())
    assert numbers["train_seconds"] == trained["train_seconds"] > 0
    assert (numbers["n_classes"], numbers["n_train"]) == (2, len(few)) and not np.array_equal(few.mean, whole.mean)
    np.testing.assert_array_equal(network.inputs.mean, few.mean)
    assert numbers["n_val"] == len(open_cache(folder / "ablations" / "images" / "val"))

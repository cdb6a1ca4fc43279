"""The null control: the same stage on the same network with its initial weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from zfnet.core.errors import UserError
from zfnet.experiments.config import Settings
from zfnet.experiments.context import Context
from zfnet.experiments.control import add_control, fewer, with_initial_weights
from zfnet.experiments.table import STAGES, Config
from zfnet.networks.convnet import build
from zfnet.networks.predict import correct_images
from zfnet.networks.untrained import untrained
from zfnet.pipeline.record import Outcome, skipped


@pytest.fixture
def context(tmp_path: Path) -> Context:
    config: Settings = Config()
    return Context(config, "saliency", tmp_path / "saliency", tmp_path, lambda name: None)


def test_our_networks_get_the_weights_with_which_their_training_began(wrap) -> None:
    trained = build("zfnet", 3, 32, 0.1)
    trained.initialize("he", 5)
    with torch.no_grad():
        trained.conv1.weight += 1.0
    first = untrained(wrap(trained), "he", 5)
    initial = build("zfnet", 3, 32, 0.1)
    initial.initialize("he", 5)
    assert all(torch.equal(a, b) for a, b in zip(first.module.parameters(), initial.parameters(), strict=True))
    assert not torch.equal(trained.conv1.weight, initial.conv1.weight)  # the trained one is left as it is
    assert first.chooser is not None and first.chooser.module is trained


def test_weights_of_any_module_are_drawn_anew(wrap) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 900, 3))
    module[1].running_mean += 5.0
    first, second, other = (untrained(wrap(module), "he", seed).module for seed in (0, 0, 1))
    assert torch.equal(first[0].weight, second[0].weight) and not torch.equal(first[0].weight, other[0].weight)
    assert not first[1].running_mean.any() and module[1].running_mean.all() and not first[4].bias.any()
    assert float(first[4].weight.detach().std()) == pytest.approx((2 / 7200) ** 0.5, rel=0.02)


def test_the_trained_network_chooses_the_images(wrap, stores) -> None:
    _, images = stores
    labels = images.index.labels

    class Right(nn.Module):
        """Answers in turn as if it knew the order: right for the pictures that are brightest in their class's color."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3))

    knows = wrap(Right())
    right = list(correct_images(knows, images, 0, len(images)))
    assert 0 < len(right) <= len(labels)
    assert list(correct_images(untrained(knows, "he", 0), images, 0, len(images))) == right


def test_the_control_runs_the_stage_with_its_own_options_in_a_folder_that_goes(context: Context) -> None:
    seen = []

    def run(context: Context) -> Outcome:
        seen.append(context)
        return Outcome({"n": context.options.n_score, "initial": context.initial})

    control = with_initial_weights(run, lambda options, numbers: type(options)(n_score=numbers["n"] // 10))
    outcome = Outcome({"n": 300})
    add_control(control, context, outcome)
    assert outcome.numbers["control"] == {"n": 30, "initial": True} and outcome.numbers["control_seconds"] >= 0
    assert seen[0].kept == context.out and not seen[0].out.exists()
    assert context.options.n_score == 300


def test_a_control_that_cannot_be_measured_is_left_out(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(context: Context, numbers: object) -> dict[str, object]:
        raise UserError("no layer fires")

    for control in (None, fails, lambda context, numbers: {"skipped": "nothing"}):
        outcome = Outcome({"n": 300})
        add_control(control, context, outcome)
        assert outcome.numbers == {"n": 300}
    assert "no null control: no layer fires" in capsys.readouterr().out
    nothing = skipped("no boxes")
    add_control(lambda context, numbers: {"a": 1}, context, nothing)
    assert set(nothing.numbers) == {"skipped"}


def test_a_share_of_the_images_is_never_more_than_there_are() -> None:
    assert [fewer(300, 0.2, 60), fewer(40, 0.2, 60), fewer(1000, 0.2, 60)] == [60, 40, 200]


def test_the_control_of_localization_has_the_settings_that_were_chosen() -> None:
    from zfnet.experiments.localization.options import LocalizationOptions
    from zfnet.experiments.localization.stage import of_control

    tuning = {"n_images": 200, "grabcut": {"chosen": {"foreground": 0.8}}, "centre": {"chosen": {"centre": 0.9}}}
    options = of_control(LocalizationOptions(tune=200), {"n_images": 300, "tuning": tuning})
    assert (options.foreground, options.centre, options.tune, options.n_images) == (0.8, 0.9, 0, 60)
    assert of_control(LocalizationOptions(), {"n_images": 20}).n_images == 20


def test_every_stage_whose_claims_have_a_control_has_one() -> None:
    from zfnet.report.claims.table import CLAIMS

    of_claims = {claim.stage for claim in CLAIMS if claim.null}
    assert of_claims - {stage.name for stage in STAGES.values() if stage.control} == {"evolution"}  # its own


def test_untrained_rows_of_table_3_err_as_often_as_chance(store_folders, tmp_path: Path) -> None:
    from zfnet.experiments.ablations.control import initial_errors

    config: Settings = Config()
    config.model.width, config.model.init = 0.05, "he"
    context = Context(config, "ablations", tmp_path, store_folders[0].parent, lambda name: None)
    numbers = initial_errors(context, {"rows": {"zfnet": {}, "krizhevsky": {}}, "seeds": [0, 1]}, context.image_cache)
    assert set(numbers["rows"]) == {"zfnet", "krizhevsky"}
    for row in numbers["rows"].values():
        assert row["converged"] and len(row["val_top1_error"]["repeats"]) == 2
        assert 33 <= row["train_top1_error"]["value"] <= 100  # of three classes alike

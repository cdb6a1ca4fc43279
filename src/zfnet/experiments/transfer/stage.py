"""Stage transfer: [ZF13] Tables 4, 5 and 7, Fig. 9, on frozen features and whole networks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zfnet.experiments.context import CACHING, Context, device_of, is_borrowed
from zfnet.experiments.control import Numbers, with_initial_weights
from zfnet.experiments.stage import Stage
from zfnet.experiments.transfer.options import TransferOptions
from zfnet.pipeline.record import Outcome, skipped

if TYPE_CHECKING:
    from zfnet.data.cache.images import Images

CONTROL_FOLDS = 2


def check(context: Context) -> None:
    context.need_folder("root")
    context.need_data()
    context.need_layers(1)


def run(context: Context) -> Outcome:
    from zfnet.experiments.sources import read_transfer_source, why_absent

    if reason := why_absent(context.config, "transfer"):
        return skipped(reason)
    network = context.network  # before an image is read
    index = read_transfer_source(context.config)
    folder = (context.kept or context.out) / "images"
    images = context.cache("transfer", index, folder, size=network.inputs.frame)
    frozen_alone = is_borrowed(context.config) or context.initial
    outcome = _borrowed(context, images) if frozen_alone else _own(context, images)
    outcome.numbers["network"] = network.title
    return outcome


def _borrowed(context: Context, images: Images) -> Outcome:
    """Frozen features alone: everything else is about networks and images of this profile."""
    from zfnet.experiments.transfer import compute

    outcome = compute.run(context.options, context.network, images, context.out, context.seed, workers=context.workers)
    return replace(outcome, headline=f"{outcome.headline}; {context.network.title}")


def _own(context: Context, images: Images) -> Outcome:
    from zfnet.experiments.transfer import compute
    from zfnet.experiments.transfer.whole_networks import FINE_TUNED, SCRATCH, Recipe, trainer

    config, options, network = context.config, context.options, context.network
    trained = {}
    if options.trained_epochs:
        recipe = Recipe.of(options, config.model, config.train, config.checkpoints, device_of(config))
        trained[SCRATCH] = trainer(recipe, images, network.inputs, context.out)
        trained[FINE_TUNED] = trainer(recipe, images, network.inputs, context.out, network)
    out, seed, workers = context.out, context.seed, context.workers
    outcome = compute.run(options, network, images, out, seed, context.train, trained, workers)
    if options.reverse:
        outcome.numbers["reverse"] = _reverse(context, outcome.numbers["protocol"])
    return outcome


def _reverse(context: Context, protocol: dict[str, Any]) -> dict[str, Any]:
    """The pre-training set served by the network trained from scratch on the transfer set; see transfer.reverse."""
    import copy

    from zfnet.experiments.transfer.reverse import serve
    from zfnet.experiments.transfer.whole_networks import SCRATCH, model_file
    from zfnet.networks.checkpoint import load_trained
    from zfnet.networks.convnet import ConvNet

    options, network = context.options, context.network
    assert isinstance(network.module, ConvNet)
    random = copy.deepcopy(network.module)
    random.initialize(context.config.model.init, context.seed)
    networks = {"pretrained": network, "random": replace(network, module=random)}
    scratch = model_file(context.out, SCRATCH, max(protocol["per_class"]), fold=0)
    if options.trained_epochs and scratch.is_file():
        networks["scratch"] = load_trained(scratch, context.device)
    tested, out = protocol["test_per_class"], context.out / "reverse"
    return serve(options, networks, context.train, context.val, tested, out, context.seed, context.workers)


def control(context: Context, numbers: Numbers) -> dict[str, Any]:
    """Frozen features with initial weights at the largest training size, beside the networks trained from scratch."""
    sizes = [int(size) for size in numbers["few_shot"]]
    tenth = [size for size in sizes if 10 * size <= max(sizes)][-1:]

    def change(options: TransferOptions, numbers: Numbers) -> TransferOptions:
        folds = min(CONTROL_FOLDS, numbers["protocol"]["folds"])
        return replace(options, folds=folds, per_class=[max(sizes)], few_shot=tenth, trained_epochs=0, reverse=0)

    measured = with_initial_weights(run, change)(context, numbers)
    if scratch := numbers["table4"].get("scratch"):
        measured["table4"]["scratch"] = scratch
    return measured


TRANSFER = Stage(
    "transfer",
    "[ZF13] Tables 4 and 7, Fig. 9",
    run,
    check,
    options=TransferOptions,
    control=control,
    needs=("train",),
    borrowed_needs=(),
    reads=("network", "transfer", "seed", *CACHING),
    version=4,
    keeps=True,
)

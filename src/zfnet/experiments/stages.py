"""One function a stage: builds its inputs from the configuration, calls the module that does the work.

The modules take plain values and know neither the configuration's layout nor each other; the arrows between them are
here and in the table of zfnet.running.runner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from zfnet.core.machine import n_cores, pick_device
from zfnet.core.statistics import mean_std
from zfnet.experiments.config import Config
from zfnet.experiments.wiring import cache, few_classes, folder_of, stores, train_network, trained_model, trainer
from zfnet.networks.checkpoint import load_model
from zfnet.networks.convnet import ConvNet
from zfnet.networks.options import TRAINED, ModelOptions
from zfnet.pipeline.record import Outcome, skipped
from zfnet.running.runner import cache_folder
from zfnet.training.options import TrainOptions

if TYPE_CHECKING:
    from zfnet.experiments.explain.network import Network

NOCLIP = "-noclip"  # suffix of a row of the ablations that trains without RMS renormalisation ([ZF13] Fig. 6a)
PAPERSCALE = "-paperscale"  # and of one on inputs in [-128, 128] with the paper's scale of weights and learning rate


def data(config: Config, out: Path) -> Outcome:
    from zfnet.experiments.data.contact_sheet import contact_sheet
    from zfnet.experiments.sources import read_source

    train_index, val_index = read_source(config)
    folder = cache_folder(config)
    train = cache(config, "data", train_index, folder / "train", None)
    val = cache(config, "data", val_index, folder / "val", train.mean)
    numbers = {
        "n_classes": len(train.index.classes),
        "n_train": len(train),
        "n_val": len(val),
        "n_unreadable": len(train_index) - len(train) + len(val_index) - len(val),
        "share_with_boxes": float(np.mean([len(boxes) > 0 for boxes in val.index.boxes])),
        "frame": config.data.size,
        "cache": config.data.cache,
        "pictures": train.crop,
        "source": config.data.source,
        "classes": dict(zip(train.index.classes, train.index.names, strict=True)),
    }
    figures = contact_sheet(train, out, config.data.seed)
    headline = f"{len(train):,} + {len(val):,} images of {numbers['n_classes']} classes"
    bad = numbers["n_unreadable"]
    return Outcome(numbers, figures, headline + (f"; {bad:,} unreadable left out, see store.json" if bad else ""))


def train(config: Config, out: Path) -> Outcome:
    from zfnet.experiments.train.figure import draw_history
    from zfnet.experiments.train.pixels import pixel_baseline

    numbers = train_network(config, config.model, config.train, out)
    images, val = stores(config)
    numbers["linear_pixels"] = pixel_baseline(images, val, config.train.seed)
    figures = draw_history(numbers["history"], out)
    headline = f"ten-crop error top-1 {numbers['top1_error']:.1f} %, top-5 {numbers['top5_error']:.1f} %"
    return Outcome(numbers, figures, f"{headline} ({numbers['n_classes']} classes)")


def ablations(config: Config, out: Path) -> Outcome:
    from zfnet.networks.table import TABLE3, architecture
    from zfnet.training.fit import MEASURED

    rows = config.ablations.rows or [*TABLE3, "zfnet" + NOCLIP]
    if config.ablations.paperscale_epochs:
        rows = [*rows, "zfnet" + PAPERSCALE, "zfnet" + PAPERSCALE + NOCLIP]
    recipe = replace(config.train, epochs=config.ablations.epochs or config.train.epochs, snapshots=[])
    images = few_classes(config, config.ablations.n_classes, out / "images")
    numbers: dict[str, Any] = {"epochs": recipe.epochs, "seeds": list(config.ablations.seeds)}
    numbers |= {"rows": {}, "train_seconds": 0.0}
    for name in rows:
        model, changed, divisor = _variant(config, recipe, name)
        runs = [
            train_network(config, model, replace(changed, seed=seed), out / name / f"seed_{seed}", divisor, images)
            for seed in config.ablations.seeds
        ]
        numbers["rows"][name] = _ablation_row(runs)
        numbers["train_seconds"] += sum(run["train_seconds"] for run in runs)
        print(f"  {name:22} val top-1 error {numbers['rows'][name]['val_top1_error']['mean']:.1f} %", flush=True)
    numbers |= {key: runs[0][key] for key in ("n_classes", "n_train", "n_val")}
    numbers["n_train_measured"] = min(numbers["n_train"], MEASURED)
    numbers["full_units"] = architecture("zfnet", runs[0]["pictures"], config.model.width).fulls[6].units
    best = min(numbers["rows"], key=lambda name: numbers["rows"][name]["val_top1_error"]["mean"])
    return Outcome(numbers, {}, f"{len(rows)} networks of {recipe.epochs} epochs, best {best}")


def ensemble(config: Config, out: Path) -> Outcome:
    from zfnet.core.precision import resolve
    from zfnet.experiments.ensemble import compute as module

    options, recipe = config.ensemble, replace(config.train, snapshots=[])
    seeds = [seed for seed in options.seeds if seed != config.train.seed]
    if not seeds and not options.wide:
        return skipped("ensemble.seeds is empty and ensemble.wide is false")
    folders = {f"seed_{seed}": replace(recipe, seed=seed) for seed in seeds}
    runs = [train_network(config, config.model, changed, out / name) for name, changed in folders.items()]
    if options.wide:
        wide = replace(config.model, name=f"{config.model.name}-wide345")
        runs.append(train_network(config, wide, recipe, out / "wide"))
    device, (_, val) = pick_device(config.device), stores(config)
    precision = resolve(config.train.precision, device)

    def probabilities(folder: Path) -> np.ndarray:
        return module.ten_crop_probabilities(load_model(folder / "model.pt", device), val, precision)

    alike = [probabilities(folder) for folder in (folder_of(config, "train"), *(out / name for name in folders))]
    other = probabilities(out / "wide") if options.wide else None
    rows = module.table2(alike, other, val.index.labels)
    numbers = {"seeds": [config.train.seed, *seeds], "epochs": recipe.epochs, "n_val": len(val), **rows}
    numbers["train_seconds"] = sum(run["train_seconds"] for run in runs)
    best = rows.get("all") or rows["average"]
    mean = rows["single"]["top1_error"]["mean"]
    headline = f"{best['n_networks']} networks: top-1 error {best['top1_error']:.1f} %, singly {mean:.1f} %"
    return Outcome(numbers, {}, headline)


def top_activations(config: Config, out: Path) -> Outcome:
    from zfnet.experiments.top_activations import compute as module

    return module.run(config.top_activations, trained_model(config), stores(config)[1], out, config.seed)


def evolution(config: Config, out: Path) -> Outcome:
    from zfnet.experiments.evolution import compute as module

    folder = folder_of(config, "train") / "snapshots"
    wanted = {*config.train.snapshots, config.train.epochs}
    snapshots = [(epoch, folder / f"epoch_{epoch:04d}.pt") for epoch in sorted(wanted) if epoch <= config.train.epochs]

    def load(path: Path) -> ConvNet:
        return load_model(path, pick_device(config.device))

    return module.run(config.evolution, snapshots, stores(config)[0], out, config.seed, load)


def first_layer(config: Config, out: Path) -> Outcome:
    from zfnet.experiments.first_layer import compute as module

    images = stores(config)[1]
    models = {f"{config.model.name}, trained in full": (trained_model(config), images)}
    rows = {"zfnet": "zfnet", "zfnet, no RMS clipping": "zfnet" + NOCLIP, "krizhevsky": "krizhevsky"}
    if config.ablations.paperscale_epochs:  # there the radius acts, so the pair of Fig. 6a is this one
        del rows["zfnet, no RMS clipping"]
        rows |= {"zfnet, paper's scale": "zfnet" + PAPERSCALE}
        rows |= {"zfnet, paper's scale, no RMS clipping": "zfnet" + PAPERSCALE + NOCLIP}
    for label, row in rows.items():  # the networks that are compared were all trained alike
        path = folder_of(config, "ablations") / row / f"seed_{config.ablations.seeds[0]}" / "model.pt"
        if path.exists():
            seen = replace(images, divisor=1.0) if PAPERSCALE in row else images
            models[label] = (load_model(path, pick_device(config.device)), seen)
    return module.run(config.first_layer, models, out, config.seed)


def invariance(config: Config, out: Path) -> Outcome:
    from zfnet.experiments.invariance import compute as module

    return module.run(config.invariance, trained_model(config), stores(config)[1], out, config.seed)


def occlusion(config: Config, out: Path) -> Outcome:
    from zfnet.attribution.engine import Target, project
    from zfnet.experiments.occlusion import compute as module

    model = trained_model(config)

    def project_map(images: Tensor, layer: str, channel: int) -> Tensor:
        return project(model, images, Target(channel), layer)

    return module.run(config.occlusion, model, stores(config)[1], out, config.seed, project_map)


def correspondence(config: Config, out: Path) -> Outcome:
    from zfnet.experiments.correspondence import compute as module
    from zfnet.experiments.sources import parts_file

    parts = parts_file(config)
    if parts is None:
        missing = "no positions of eyes and noses for this data set"
        return skipped(f"{missing}; give a CSV file,part,x,y,radius with correspondence.parts")
    try:
        return module.run(config.correspondence, trained_model(config), stores(config)[1], parts, out, config.seed)
    except module.TooFewFaces as error:
        if config.correspondence.parts:
            raise
        return skipped(str(error))


def class_model(config: Config, out: Path) -> Outcome:
    from zfnet.experiments.class_model import compute as module

    return module.run(config.class_model, trained_model(config), stores(config)[1], out, config.seed)


def saliency(config: Config, out: Path) -> Outcome:
    from zfnet.experiments.saliency import compute as module

    return module.run(config.saliency, trained_model(config), stores(config)[1], out, config.seed)


def patterns(config: Config, out: Path) -> Outcome:
    from zfnet.experiments.patterns import compute as module

    return module.run(config.patterns, trained_model(config), *stores(config), out, config.seed)


def transfer(config: Config, out: Path) -> Outcome:
    from zfnet.experiments.sources import read_transfer_source, why_absent
    from zfnet.experiments.transfer import compute as module

    if reason := why_absent(config, "transfer"):
        return skipped(reason)
    if config.transfer.network != TRAINED:
        return _borrowed(config, out)
    pretraining, _ = stores(config)
    images = cache(config, "transfer", read_transfer_source(config), out / "images", pretraining.mean)
    model = trained_model(config)
    trained = {"scratch": trainer(config, images, out, None), "fine-tuned": trainer(config, images, out, model)}
    chosen = trained if config.transfer.trained_epochs else {}
    outcome = module.run(config.transfer, model, images, out, config.seed, pretraining, chosen)
    outcome.numbers["network"] = _title(config, model)
    if config.transfer.reverse:
        outcome.numbers["reverse"] = _reversed(config, out, model, max(outcome.numbers["protocol"]["per_class"]))
    return outcome


def _borrowed(config: Config, out: Path) -> Outcome:
    """Transfer with a network of torchvision's: frozen features alone, for the rest is about networks trained here."""
    from zfnet.experiments.sources import read_transfer_source
    from zfnet.experiments.transfer import compute as module
    from zfnet.networks.pretrained import DIVISOR, FRAME, Numbered, load_pretrained, mean_image

    options, frames = config.transfer, replace(config.data, size=FRAME, divisor=DIVISOR)
    found = load_pretrained("transfer", options.network, options.weights, pick_device(config.device))
    index, folder = read_transfer_source(config), out / f"images-{FRAME}"
    images = cache(replace(config, data=frames), "transfer", index, folder, mean_image())
    outcome = module.run(options, Numbered(options.network, found.model), images, out, config.seed)
    outcome.numbers["network"] = found.title
    return replace(outcome, headline=f"{outcome.headline}; {found.title}")


def _reversed(config: Config, out: Path, model: ConvNet, largest: int) -> dict[str, Any]:
    """The pre-training set served by the network trained from scratch on the transfer set; see transfer.reverse."""
    import copy

    from zfnet.experiments.transfer.protocol import choose_protocol
    from zfnet.experiments.transfer.reverse import serve

    options, (train, val) = config.transfer, stores(config)
    random = copy.deepcopy(model)
    random.initialise(config.model.init, config.seed)
    networks = {"pretrained": model, "random": random}
    scratch = out / "scratch" / f"{largest}_fold_0" / "model.pt"
    if options.trained_epochs and scratch.is_file():
        networks["scratch"] = load_model(scratch, pick_device(config.device))
    tested = choose_protocol(options.source, options.per_class, options.test_per_class, options.folds).test_per_class
    return serve(options, networks, train, val, tested, out / "reverse", config.seed)


def voc(config: Config, out: Path) -> Outcome:
    from zfnet.experiments.sources import read_voc_source, voc_folder, why_absent
    from zfnet.experiments.voc import compute as module

    if reason := why_absent(config, "voc"):
        return skipped(reason)
    _, year = voc_folder(config)
    train, test, split = read_voc_source(config)
    mean = stores(config)[0].mean
    parts = (("train", train), ("test", test))
    train_images, test_images = (cache(config, "voc", index, out / "images" / part, mean) for part, index in parts)
    return module.run(config.voc, trained_model(config), train_images, test_images, out, config.seed, year, split)


def localization(config: Config, out: Path) -> Outcome:
    from zfnet.data.sources.imagenet import read_boxed
    from zfnet.experiments.localization import compute as module
    from zfnet.experiments.localization.sources import make_source
    from zfnet.experiments.sources import blacklist_file

    options, model, (train, val) = config.localization, trained_model(config), stores(config)
    if not any(len(boxes) for boxes in val.index.boxes):
        return skipped("no image of this data set has a box")
    further = None
    if options.images:
        boxed = read_boxed(Path(options.images), "localization.images", val.index.classes, val.index.names)
        further = cache(config, "localization", boxed, out / "images" / "store", train.mean)
    options = replace(options, blacklist=blacklist_file(config, val.index))
    names = {options.saliency, *options.compare}
    sources = {name: make_source(name, model, train, config.seed) for name in sorted(names)}
    return module.run(options, model, train, val, sources, out, config.seed, n_cores(), further)


def report(config: Config, out: Path) -> Outcome:
    from zfnet.report.build import build

    return build(out.parent, out, config.report.title)


def look(config: Config, out: Path) -> Outcome:
    from zfnet.experiments.explain import compute as module
    from zfnet.experiments.explain.network import from_torchvision, read_photo

    photo, options = read_photo(config.image), config.look
    if options.network == TRAINED:
        network = _own_network(config)
    else:
        network = from_torchvision(options.network, options.weights, pick_device(config.device))
    return module.run(options, network, photo, Path(config.image).name, out)


def check_photo(config: Config) -> None:
    """Raise UserError for a photograph that cannot be read, before anything is trained for it."""
    from zfnet.experiments.explain.network import read_photo

    read_photo(config.image)


def _own_network(config: Config) -> Network:
    """The trained network with the patterns that stage patterns left of it, else with some estimated at once."""
    from zfnet.attribution.patterns import load_patterns
    from zfnet.experiments.explain.network import estimate_patterns, ours
    from zfnet.running import runner as pipeline

    model, (train, val) = trained_model(config), stores(config)
    if pipeline.result_of(pipeline.STAGES["patterns"], config):
        patterns, told = load_patterns(folder_of(config, "patterns") / "patterns.pt")["a+"], "stage patterns"
    else:
        patterns, told = estimate_patterns(model, train, config.look.n_images, config.seed)
    return ours(model, val, _title(config, model), patterns, told)


def _title(config: Config, model: ConvNet) -> str:
    return f"{config.model.name} trained on {config.data.source}, {model.n_classes} classes"


def without_suffixes(row: str) -> str:
    """The network of a row of the ablations."""
    return row.removesuffix(NOCLIP).removesuffix(PAPERSCALE)


def _variant(config: Config, recipe: TrainOptions, name: str) -> tuple[ModelOptions, TrainOptions, float]:
    """Network, recipe and divisor of the inputs of one row of the ablations.

    At the paper's scale: its learning rate, kept constant, for every 16 images instead of 128, since we have fewer.
    """
    model = replace(config.model, name=without_suffixes(name))
    if name.endswith(NOCLIP):
        recipe = replace(recipe, rms_radius=0.0)
    if PAPERSCALE not in name:
        return model, recipe, config.data.divisor
    epochs = config.ablations.paperscale_epochs or recipe.epochs
    scale = {"lr": 0.01, "batch": 16, "reference_batch": 16, "schedule": "constant", "warmup_epochs": 0.0}
    return replace(model, init="gain"), replace(recipe, epochs=epochs, **scale), 1.0  # type: ignore[arg-type]


def _ablation_row(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over seeds of the errors of one variant, all in percent."""
    cells = {
        "train_top1_error": [run["train"]["top1_error"] for run in runs],  # of the centre crop
        "center_top1_error": [run["center"]["top1_error"] for run in runs],
        "val_top1_error": [run["top1_error"] for run in runs],
        "val_top5_error": [run["top5_error"] for run in runs],
    }
    lines = [run["history"][-1] for run in runs]
    row: dict[str, Any] = {"parameters": runs[0]["parameters"]}
    row["clipped_conv1"] = float(np.mean([line["clipped_filters"]["conv1"] for line in lines]))
    row["rms_conv1"] = float(np.max([line["rms_max"]["conv1"] for line in lines]))
    for name, values in cells.items():
        mean, std = mean_std(values)
        row[name] = {"mean": mean, "std": std, "runs": values}
    return row

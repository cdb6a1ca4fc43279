"""[ZF13] Figure 2: the nine strongest activations of every feature map, projected to pixels.

One pass over the validation images keeps, for every map of every convolutional layer (after its ReLU), the `top`
images in which it fires strongest, one activation an image, and where:

    value(map, image) = max over places of activation(map, image, place)

The pass streams: after each batch the maxima are merged with the best so far, so memory does not grow with the set,
and `merge` of two shards equals one pass over both. Equal values are ordered by image, equal places by scan order.

For a random choice of maps that fire ([ZF13]: "a random subset"), each of the nine is projected alone by the
deconvnet and shown beside the patch of its image that the unit sees: exactly its receptive field, grey where this
reaches over the border. A field larger than the image is shown as it lies in the image. All maps are in the atlas
(zfnet.experiments.top_activations.atlas).

In numbers: *purity*, the share of a map's images that are of its most frequent class, averaged over maps; it puts a
figure on the paper's "class-specific" upper layers [our choice]. Chance is the same for images drawn at random.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from zfnet.attribution.strongest import Strongest, choose_maps, strongest
from zfnet.attribution.tiles import GAP, block, side_by_side
from zfnet.attribution.window import receptive_field
from zfnet.core.files import atomic_write
from zfnet.core.statistics import bootstrap
from zfnet.data.cache.images import ImageStore
from zfnet.experiments.top_activations.atlas import lay_out
from zfnet.experiments.top_activations.options import TopActivationsOptions
from zfnet.networks.convnet import ConvNet
from zfnet.pipeline.record import Outcome
from zfnet.plots.grid import PAPER, mosaic, write, write_text

HEAD = 16  # px: line for a map's number
PER_ROW = 4  # maps in a row of the figure


def run(config: TopActivationsOptions, model: ConvNet, images: ImageStore, out: Path, seed: int) -> Outcome:
    """Figure 2: a picture a layer, the atlas of all maps and their `top9.npz`, and the purity of every layer."""
    top = min(config.top, len(images))
    found = strongest(model, images, np.arange(len(images)), top, config.batch)
    numbers: dict[str, Any] = {"top": top, "n_images": len(images), "layers": {}}
    figures = {}
    for n, ((layer, best), n_maps) in enumerate(zip(found.items(), config.n_maps, strict=False), 1):
        numbers["layers"][str(n)] = purity(best, images.index.labels, seed) | {
            "field": receptive_field(model, layer).size
        }
        maps = choose_maps(best, n_maps, np.random.default_rng([seed, n]))
        if not len(maps):
            continue  # a dead layer: its numbers say so
        name = f"layer{layer[4:]}.png"
        write(out / name, draw(model, images, layer, best, maps))
        figures[name] = (
            f"Layer {layer[4:]}: for {len(maps)} random feature maps, the deconvnet projections of their strongest "
            f"{top} activations beside the image patches that caused them."
        )
    save(found, out / "top9.npz")
    lay_out(model, images, found, out, config.atlas_maps)
    purest = {n: values["purity"] for n, values in numbers["layers"].items()}
    first, last = min(purest), max(purest)
    headline = f"same-class share of the top {top}: layer {first} {purest[first]:.2f}, layer {last} {purest[last]:.2f}"
    return Outcome(numbers, figures, headline)


# ---------------------------------------------------------------- the pass over the images


def save(found: dict[str, Strongest], path: Path) -> None:
    """One npz: `<layer>.values`, `<layer>.rows`, `<layer>.places`."""
    arrays = {f"{layer}.{key}": value.numpy() for layer, best in found.items() for key, value in vars(best).items()}
    with atomic_write(path) as temporary:
        np.savez(temporary, **arrays)


# ---------------------------------------------------------------- what is shown of it


def purity(best: Strongest, labels: np.ndarray, seed: int) -> dict[str, float | list[float]]:
    """Mean share of the most frequent class among a map's images, its interval over maps, and chance."""
    alive = (best.values[:, -1] > 0).numpy()
    top = best.rows.shape[1]
    own = _same_class(labels[best.rows.numpy()[alive]])
    drawn = np.random.default_rng([seed, 9]).integers(0, len(labels), (2000, top))
    return {
        "n_maps": len(alive),
        "n_dead": int((best.values[:, 0] <= 0).sum()),
        "purity": float(own.mean()) if len(own) else float("nan"),
        "interval": list(bootstrap(own, seed)),
        "chance": float(_same_class(labels[drawn]).mean()),
    }


def _same_class(labels: np.ndarray) -> np.ndarray:
    """labels (n, top) -> (n,) share of the most frequent label."""
    counts = (labels[:, :, None] == labels[:, None, :]).sum(2)
    return counts.max(1, initial=0) / labels.shape[1]


def draw(model: ConvNet, images: ImageStore, layer: str, best: Strongest, maps: np.ndarray) -> np.ndarray:
    """The figure of one layer: for every map a block of projections beside the block of patches."""
    top = best.rows.shape[1]
    units = np.repeat(maps, top)
    rows, places = best.rows[maps].numpy().reshape(-1), best.places[maps].numpy().reshape(-1, 2)
    pairs = side_by_side(model, images, layer, units, rows, places)
    blocks = []
    for m, unit in enumerate(maps):
        left, right = (block(tiles[m * top : (m + 1) * top]) for tiles in pairs)
        blocks.append(_headed(np.concatenate([left, right], axis=1), f"map {unit}"))
    return mosaic([blocks[i : i + PER_ROW] for i in range(0, len(blocks), PER_ROW)], gap=10)


def _headed(image: np.ndarray, text: str) -> np.ndarray:
    canvas = np.full((image.shape[0] + HEAD, image.shape[1], 3), PAPER, dtype=np.uint8)
    canvas[HEAD:] = image
    write_text(canvas, text, (GAP, HEAD - 4))
    return canvas

"""[ZF13] Figure 2: the nine strongest activations of every feature map, projected to pixels.

One pass over the validation images keeps, for every map of every convolutional layer (after its ReLU), the `top`
images in which it fires strongest, one activation an image, and where:

    value(map, image) = max over places of activation(map, image, place)

The pass streams: after each batch the maxima are merged with the best so far, so memory does not grow with the set,
and `merge` of two shards equals one pass over both. Equal values are ordered by image, equal places by scan order.

For a random choice of maps that fire ([ZF13]: "a random subset"), each of the nine is projected alone by the
deconvnet and shown beside the patch of its image that the unit sees: exactly its receptive field, gray where this
reaches over the border. A field larger than the image is shown as it lies in the image; in a network with branches a
unit sees all of it. All maps are in the atlas (zfnet.experiments.top_activations.atlas).

In numbers: *purity*, the share of a map's images that are of its most frequent class, averaged over maps; it puts a
figure on the paper's "class-specific" upper layers [our choice]. Chance is the same for images drawn at random.
"""

from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.attribution.fields import receptive_field
from zfnet.attribution.strongest import Strongest, choose_maps
from zfnet.core.files import atomic_write
from zfnet.core.statistics import Measure
from zfnet.core.workers import ALONE, Workers
from zfnet.data.cache.images import Images
from zfnet.experiments.strongest import find_strongest
from zfnet.experiments.top_activations.atlas import write_atlas
from zfnet.experiments.top_activations.figure import draw
from zfnet.experiments.top_activations.options import TopActivationsOptions
from zfnet.networks.network import Network
from zfnet.pipeline.record import Outcome
from zfnet.plots.grid import write


def run(
    options: TopActivationsOptions,
    network: Network,
    images: Images,
    out: Path,
    seed: int,
    workers: Workers = ALONE,
) -> Outcome:
    """Figure 2: a picture a layer, the atlas of all maps and their `top9.npz`, and the purity of every layer."""
    top, rows = min(options.top, len(images)), np.arange(len(images))
    (by_module,) = find_strongest([network], images, rows, top, options.batch, workers)
    save(by_module, out / "top9.npz")
    layers = {number: by_module[name] for number, name in network.feature_maps.items()}
    numbers: dict[str, Any] = {"top": top, "n_images": len(images), "layers": {}}
    figures = {}
    for (number, best), n_maps in zip(layers.items(), chain(options.n_maps, repeat(options.n_maps[-1])), strict=False):
        layer = network.feature_maps[number]
        field = receptive_field(network.module, layer, network.inputs.crop)
        numbers["layers"][str(number)] = purity(best, images.index.labels, seed) | {"field": field.size}
        maps = choose_maps(best, n_maps, np.random.default_rng([seed, number]))
        if not len(maps):
            continue  # a dead layer: its numbers say so
        name = f"layer{number}.png"
        write(out / name, draw(network, images, layer, best, maps))
        figures[name] = (
            f"Layer {number}: for {len(maps)} random feature maps, the deconvnet projections of their strongest "
            f"{top} activations beside the image patches that caused them."
        )
    write_atlas(network, images, layers, out, options.atlas_maps)
    return Outcome(numbers, figures, _headline(numbers))


def _headline(numbers: dict[str, Any]) -> str:
    """The purity of the first and the last layer, where the images have classes."""
    purities = []
    for number, layer in numbers["layers"].items():
        if layer.get("purity", {}).get("value") is not None:
            purities.append(f"layer {number} {layer['purity']['value']:.2f}")
    if not purities:
        return f"the top {numbers['top']} of {numbers['n_images']} images for each map"
    return f"same-class share of the top {numbers['top']}: {', '.join(purities[:1] + purities[1:][-1:])}"


def save(by_module: dict[str, Strongest], path: Path) -> None:
    """One npz: `<module>.values`, `<module>.rows`, `<module>.places`."""
    arrays: dict[str, Any] = {}
    for name, best in by_module.items():
        for key, value in vars(best).items():
            arrays[f"{name}.{key}"] = value.numpy()
    with atomic_write(path) as temporary:
        np.savez(temporary, **arrays)


def purity(best: Strongest, labels: np.ndarray, seed: int) -> dict[str, Any]:
    """Mean share of the most frequent class among a map's images, its interval over maps, and chance.

    Of images of one class only the numbers of maps.
    """
    alive = (best.values[:, -1] > 0).numpy()
    maps = {"n_maps": len(alive), "n_dead": int((best.values[:, 0] <= 0).sum())}
    if len(np.unique(labels)) < 2:
        return maps
    top = best.rows.shape[1]
    own = _same_class(labels[best.rows.numpy()[alive]])
    drawn = np.random.default_rng([seed, 9]).integers(0, len(labels), (2000, top))
    return maps | {
        "purity": Measure.bootstrapped(own, seed, "maps").to_json(),
        "chance": float(_same_class(labels[drawn]).mean()),
    }


def _same_class(labels: np.ndarray) -> np.ndarray:
    """labels (n, top) -> (n,) share of the most frequent label."""
    counts = (labels[:, :, None] == labels[:, None, :]).sum(2)
    return counts.max(1, initial=0) / labels.shape[1]

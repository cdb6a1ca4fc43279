"""Claims of [ZF13] sections 3 and 4: what the pictures show."""

from zfnet.core.statistics import Measure
from zfnet.report import evidence
from zfnet.report.claims.claim import IMAGES, ONE_NETWORK, Claim
from zfnet.report.evidence import Results, at, minus
from zfnet.report.results import scaled

FEW_EPOCHS = 20.0  # percent of the training
LINEAR = 0.9  # R^2
STABLE = 50.0  # percent of images
MEDIUM = 0.5  # Cohen's d
EQUAL_NOISE = "final weights with equal relative noise in all layers, as much as the snapshot has on average"
PAPER_SCALE = "zfnet, paper's scale"
CLIPPED_ROW = "zfnet-paperscale"


def settled(results: Results, layer: int) -> Measure | None:
    """When a layer's own weights give projections that stay like the last ones, in epochs."""
    return at(results, "evolution", f"layers.{layer}.settled_alone")


def settled_share(results: Results, layer: int) -> Measure | None:
    """The same as a share of the training, in percent."""
    epochs = evidence.raw(results, "evolution", "epochs")
    return scaled(settled(results, layer), 100 / max(epochs)) if epochs else None


def purity(results: Results, layer: int) -> Measure | None:
    return at(results, "top_activations", f"layers.{layer}.purity")


def moved(results: Results, kind: str, layer: int, what: str) -> Measure | None:
    """A measure of how far the features of a layer move under a transformation."""
    return at(results, "invariance", f"{kind}.layer{layer}.{what}")


def kept_class(results: Results, transformation: str) -> Measure | None:
    """Share of the images that are classified correctly, in percent, that keep their class."""
    shares = evidence.raw(results, "invariance", "stability_of_correct") or {}
    return scaled(evidence.measure(shares.get(transformation)), 100)


def stable(results: Results) -> Measure | None:
    """The share for a shift by a tenth and for an enlargement, both of which must be stable."""
    return evidence.every(*(kept_class(results, name) for name in ("translation of 10 %", "scale 1.2")))


def rotation_loses_more(results: Results) -> Measure | None:
    """Percent of pictures that keep their class when moved minus when turned equally far, for shifts and for scales."""
    kinds = ("translation", "scale")
    gains = [at(results, "invariance", f"equally_far.{kind} minus rotation") for kind in kinds]
    return scaled(evidence.every(*gains), 100)


def first_layer_rise(results: Results, key: str, network: str, base: str) -> Measure | None:
    """How much larger a number of the first layer is in one network than in another, seed by seed."""
    of_network = evidence.raw(results, "first_layer", f"seeds.{network}.{key}")
    of_base = evidence.raw(results, "first_layer", f"seeds.{base}.{key}")
    if not of_network or not of_base:
        return None
    first, second = Measure.over_repeats(of_network, "seeds"), Measure.over_repeats(of_base, "seeds")
    return evidence.by_repeat(first, second, "seeds")


def clipping_untested(results: Results) -> str:
    """Why nothing can be said of the clipping: no training is recorded in which the radius acted."""
    if "first_layer" not in results:
        return ""
    clipped = at(results, "ablations", f"rows.{CLIPPED_ROW}.clipped_conv1")
    if clipped is not None and clipped.value > 0:
        return ""
    command = "zfnet run stage=first_layer ablations.paperscale_epochs=70 ablations.seeds=[0,1,2]"
    return f"No training is recorded in which the radius acts on the first layer: {command}"


def one_seed(results: Results) -> str:
    """Why a comparison of single trainings is not judged; empty where several seeds were trained."""
    seeds = evidence.raw(results, "ablations", "seeds") or []
    if len(seeds) > 1:
        return ""
    return "One network a side: how far two trainings of one recipe differ is not known; train more ablations.seeds."


CLAIMS = (
    Claim(
        "hierarchy", "ZF13", "4", "Fig. 2",
        "The features are hierarchical: lower layers answer to edges and colours, upper ones to parts and whole "
        "objects of a class.",
        "Share of a map's nine strongest images that are of one class, layer 5 minus layer 1.",
        "top_activations", lambda r: minus(purity(r, 5), purity(r, 1)),
        resampled=f"maps {ONE_NETWORK}",
        fails_if="the images that a map of layer 5 answers to are of as many classes as those of layer 1",
    ),
    Claim(
        "lower-settle-early", "ZF13", "4", "Fig. 4",
        "The lower layers of the model converge within a few epochs.",
        "When layer 1's own weights, in the network as it is at the end, give projections that stay within a cosine of "
        "0.9 of the last ones, in percent of the training.",
        "evolution", lambda r: settled_share(r, 1), resampled=f"maps {ONE_NETWORK}",
        fails_if="the filters of layer 1 still change after a fifth of the training",
        threshold=FEW_EPOCHS, reason="“a few epochs” of 70 is put at a fifth of the training (our choice)",
        above=False, unit="%", null=EQUAL_NOISE,
    ),
    Claim(
        "upper-settle-late", "ZF13", "4", "Fig. 4",
        "The upper layers only develop after a considerable number of epochs (40 to 50 of 70).",
        "The epoch at which layer 5's own weights have settled, in the network as it is at the end, minus that of "
        "layer 1's.",
        "evolution", lambda r: minus(settled(r, 5), settled(r, 1)), resampled=f"maps {ONE_NETWORK}",
        fails_if="with all other layers as they are at the end, the weights of layer 5 settle no later than those of "
        "layer 1", unit="epochs", null=EQUAL_NOISE,
    ),
    Claim(
        "layer-1-jumps", "ZF13", "4", "Fig. 5",
        "Small transformations have a dramatic effect in the first layer and a lesser one at the top.",
        "Mean distance of the features over vertical shifts of at most a tenth, layer 1 minus layer 7, image by image; "
        "1 is the distance of two pictures.",
        "invariance", lambda r: moved(r, "translation", 7, "layer1_further"), resampled=IMAGES,
        fails_if="a small shift moves the features of layer 7 as far as those of layer 1",
    ),
    Claim(
        "quasi-linear-translation", "ZF13", "4", "Fig. 5",
        "At layer 7 the effect of translation is quasi-linear.",
        "R² of the mean distance at layer 7 against the size of the shift, on a line through the origin.",
        "invariance", lambda r: moved(r, "translation", 7, "linearity"), resampled=IMAGES,
        fails_if="the distance jumps at the first shift, or saturates",
        threshold=LINEAR, reason="“quasi-linear” is put at 0.9 (our choice)",
    ),
    Claim(
        "quasi-linear-scale", "ZF13", "4", "Fig. 5",
        "At layer 7 the effect of scaling is quasi-linear.",
        "R² of the mean distance at layer 7 against the change of scale, on a line through the origin.",
        "invariance", lambda r: moved(r, "scale", 7, "linearity"), resampled=IMAGES,
        fails_if="the distance jumps at the first change of scale, or saturates",
        threshold=LINEAR, reason="“quasi-linear” is put at 0.9 (our choice)",
    ),
    Claim(
        "output-stable", "ZF13", "4", "Fig. 5",
        "The network's output is stable to translations and scalings.",
        "Share of the images classified correctly that keep their class when shifted by a tenth up and down, and when "
        "enlarged 1.2 times; both must be stable.",
        "invariance", stable, resampled=IMAGES,
        fails_if="half of the images that the network gets right are taken for another class after either",
        threshold=STABLE, reason="“stable” is put at half of the images (our choice)", unit="%",
    ),
    Claim(
        "not-rotation", "ZF13", "4", "Fig. 5",
        "In general the output is not invariant to rotation.",
        "Share of transformed pictures that keep their class, shifted minus turned and enlarged minus turned, where "
        "both change the pixels equally (within a tenth), image by image; images classified correctly.",
        "invariance", rotation_loses_more, resampled=IMAGES,
        fails_if="a turn changes the class no more often than a shift or an enlargement that changes as many pixels",
        unit="points",
    ),
    Claim(
        "symmetric-objects", "ZF13", "4", "Fig. 5",
        "Objects with rotational symmetry are the exception: their output is stable when they are turned.",
        "Spearman's rank correlation of how much a picture resembles its turned ones (correlation of the pixels) with "
        "the share of turns that keep its class; images classified correctly.",
        "invariance", lambda r: at(r, "invariance", "symmetry"), resampled=IMAGES,
        fails_if="pictures that look the same when turned lose their class as often as others",
    ),
    Claim(
        "clipping", "ZF13", "3", "Fig. 6a",
        "Without renormalising the filters, a few of them dominate the first layer.",
        "Share of the filters' energy in the strongest tenth, trained without renormalisation minus trained with it.",
        "first_layer",
        lambda r: first_layer_rise(r, "dominance", f"{PAPER_SCALE}, no RMS clipping", PAPER_SCALE),
        resampled="seeds", fails_if="the energy is as evenly spread without renormalisation",
        untested=clipping_untested, note=one_seed,
    ),
    Claim(
        "fewer-dead", "ZF13", "4.1", "Fig. 6b, c",
        "The smaller stride and filter size leave fewer features dead.",
        "Dead first-layer filters in Krizhevsky's network minus those in ZF's, trained alike, seed by seed.",
        "first_layer", lambda r: scaled(first_layer_rise(r, "dead", "krizhevsky", "zfnet"), 100), resampled="seeds",
        fails_if="as many filters of ZF's first layer are dead", unit="points", note=one_seed,
    ),
    Claim(
        "aliasing", "ZF13", "4.1", "Fig. 6d, e",
        "The large stride of the first convolution causes aliasing in the second layer.",
        "How far shifts of the image by 1, 2 and 3 px change the spatial mean of layer 2's maps (1 is the distance of "
        "two pictures), Krizhevsky's network minus ZF's, trained alike, seed by seed. Without aliasing the mean stays.",
        "first_layer", lambda r: first_layer_rise(r, "shift", "krizhevsky", "zfnet"), resampled="seeds",
        fails_if="layer 2 follows a shift by less than a stride as well in Krizhevsky's network", note=one_seed,
    ),
    Claim(
        "occlusion-drop", "ZF13", "4.2", "Fig. 7d",
        "When the object is covered, the probability of its class drops significantly.",
        "Fall of the true class's probability with the square inside a box minus outside it: the image's own box minus "
        "the boxes of the other images on the same fall, in standard deviations over images.",
        "occlusion", lambda r: at(r, "occlusion", "drop_effect"), resampled=IMAGES,
        fails_if="boxes of other images, which are as central, explain the fall nearly as well",
        threshold=MEDIUM, reason="“significantly” is put at a medium effect, Cohen's d of 0.5 (convention)",
    ),
    Claim(
        "occlusion-place", "ZF13", "4.2", "Fig. 7d",
        "The model locates the object in the scene and does not just use the context around it.",
        "How often the deepest fall lies inside the object's box, minus how often it lies inside the boxes of the "
        "other images.",
        "occlusion", lambda r: at(r, "occlusion", "place_above_others"), resampled=IMAGES,
        fails_if="the deepest fall lies as often in another image's box: it is drawn to the centre, not to the object",
    ),
    Claim(
        "occlusion-activity", "ZF13", "4.2", "Fig. 7b",
        "Covering what the strongest layer-5 map is seen to show makes its activity drop: the projections are genuine.",
        "Share of the map's projection under the square where its activity is lowest, minus the share of the other "
        "images' projections at the same place.",
        "occlusion", lambda r: at(r, "occlusion", "projection_above_others"), resampled=IMAGES,
        fails_if="the place of the lowest activity covers as much of another image's projection",
    ),
    Claim(
        "correspondence-5", "ZF13", "4.3", "Table 1",
        "At layer 5 the model establishes some correspondence between the same parts of different images.",
        "Sign disagreement when random places are covered, minus that for eyes and nose.",
        "correspondence", lambda r: at(r, "correspondence", "layer5.difference"), resampled=f"faces, {ONE_NETWORK}",
        fails_if="covering the same part changes the features no more alike than covering random places",
        second=lambda r: at(r, "correspondence", "nonzero.layer5.difference"),
        readings="how zeros are read: features that do not move agree (as the equation has it), or are left out",
    ),
    Claim(
        "correspondence-7", "ZF13", "4.3", "Table 1",
        "At layer 7 that difference shrinks, since the layer tells breeds apart rather than parts.",
        "The difference at layer 5 minus the difference at layer 7.",
        "correspondence", lambda r: at(r, "correspondence", "shrinks"), resampled=f"faces, {ONE_NETWORK}",
        fails_if="parts agree as much more than random places at layer 7",
        second=lambda r: at(r, "correspondence", "nonzero.shrinks"),
        readings="how zeros are read: features that do not move agree (as the equation has it), or are left out",
    ),
)  # fmt: skip

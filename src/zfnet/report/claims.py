"""What the papers say in words, each with the statistic that tests it.

A claim reads "the statistic lies above (below) the threshold"; verdict.py judges it by the statistic's 95 % interval.
Where a paper gives no measure ("a few epochs", "quasi-linear", "slight"), the statistic and the threshold are our
choice and say so. Differences in percent are percentage points. Sections are those of the arXiv versions.
"""

from collections.abc import Callable
from dataclasses import dataclass

from zfnet.core.statistics import Measure
from zfnet.report import evidence
from zfnet.report.evidence import Results, at, minus, scaled


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper and how it is tested."""

    key: str
    paper: str
    section: str
    where: str
    text: str
    statistic: str  # in words
    stage: str
    measure: Callable[[Results], Measure | None]
    threshold: float = 0.0
    above: bool = True
    unit: str = ""


def val_error(results: Results, variant: str, kind: str = "val_top1_error") -> Measure | None:
    """An error of one row of the ablation table, in percent."""
    return at(results, "ablations", f"rows.{variant}.{kind}")


def error_rise(results: Results, variant: str, base: str) -> Measure | None:
    """Points of validation top-1 error that a variant has more than its base."""
    return minus(val_error(results, variant), val_error(results, base))


def beyond_either(results: Results) -> Measure | None:
    """Points of error that removing layers 3, 4, 6, 7 costs more than the worse of 3, 4 alone and 6, 7 alone."""
    both = val_error(results, "krizhevsky-no3467")
    parts = (val_error(results, "krizhevsky-no34"), val_error(results, "krizhevsky-no67"))
    return minus(both, evidence.larger(*parts))


def overfit_gap(results: Results, variant: str) -> Measure | None:
    """Validation minus training top-1 error, both of the center crop."""
    return minus(val_error(results, variant, "center_top1_error"), val_error(results, variant, "train_top1_error"))


def settled(results: Results, layer: int) -> Measure | None:
    """When a layer's projections come to stay like the last ones, in epochs."""
    return at(results, "evolution", f"layers.{layer}.settled")


def settled_share(results: Results, layer: int) -> Measure | None:
    """The same as a share of the training, in percent."""
    epochs = evidence.raw(results, "evolution", "epochs")
    return scaled(settled(results, layer), 100 / max(epochs)) if epochs else None


def first_layer_rise(results: Results, key: str, variant: str, base: str) -> Measure | None:
    """How much larger a number of the first layer is in one network than in another."""
    return minus(*(at(results, "first_layer", f"networks.{name}.{key}") for name in (variant, base)))


def unclipped_dominance(results: Results) -> Measure | None:
    """Energy share of the strongest tenth of the first-layer filters, without RMS clipping minus with it."""
    rises = [first_layer_rise(results, "dominance", *names) for names in CLIPPING]
    return next((rise for rise in rises if rise), None)


def purity(results: Results, layer: int) -> Measure | None:
    return at(results, "top_activations", f"layers.{layer}.purity")


def moved(results: Results, kind: str, layer: int, what: str) -> Measure | None:
    """A measure of how far the features of a layer move under a transformation."""
    return at(results, "invariance", f"{kind}.layer{layer}.{what}")


def kept_class(results: Results, transformation: str) -> Measure | None:
    """Share of images, in percent, that keep their predicted class."""
    shares = evidence.raw(results, "invariance", "stability") or {}
    return scaled(evidence.measure(shares.get(transformation)), 100)


def depth_slope(results: Results) -> Measure | None:
    """Points of accuracy a layer, over SVMs on layers 1 to 7."""
    rows = []
    for layer in (1, 2, 3, 4, 5, 7):
        accuracy = at(results, "transfer", f"table7.svm.{layer}")
        rows.append((layer, accuracy.repeats if accuracy else ()))
    return scaled(evidence.slope(rows), 100)


def pretrained_gain(results: Results, own_size: Callable[[list[int]], int]) -> Measure | None:
    """Points of accuracy that frozen features on `own_size` images a class gain on a network trained on all of them.

    Fold by fold; where only one fold was trained, by the sampling of its test images.
    """
    curve, trained = (evidence.raw(results, "transfer", path) for path in ("few_shot", "table4.scratch"))
    if not curve or not trained:
        return None
    frozen = at(results, "transfer", f"few_shot.{own_size([int(size) for size in curve])}")
    scratch = at(results, "transfer", f"table4.scratch.{max(trained, key=int)}")
    if frozen is None or scratch is None:
        return None
    if min(len(frozen.repeats), len(scratch.repeats)) > 1:
        return scaled(evidence.paired(frozen.repeats, scratch.repeats), 100)
    n_test = evidence.raw(results, "transfer", "n_test") or 0
    return minus(*(Measure.percentage(100 * accuracy.repeats[0], n_test) for accuracy in (frozen, scratch)))


def a_tenth(sizes: list[int]) -> int:
    """The largest training size of at most a tenth of the largest, else the smallest."""
    return max([size for size in sizes if 10 * size <= max(sizes)] or [min(sizes)])


def rivals_fall(results: Results) -> Measure | None:
    """How far the other classes' scores fall while the posterior is climbed."""
    return evidence.paired(*(evidence.raw(results, "class_model", f"{when}.rivals") for when in ("start", "posterior")))


def worst_beside_random(results: Results) -> Measure | None:
    """Area under the degradation curve, random order minus the method that comes nearest to it."""
    methods = [name for name in evidence.raw(results, "patterns", "degradation") or {} if name != "random"]
    return evidence.smaller(*(at(results, "patterns", f"degradation.{name}.below_random") for name in methods))


def toy_angles(results: Results) -> Measure | None:
    """Degrees by which the toy's weights are further from its signal than its pattern is."""
    return evidence.paired(*(evidence.raw(results, "patterns", f"toy.{name}_to_signal") for name in ("w", "a")))


ZF, SVZ, K = "ZF13", "SVZ13", "K17"
NETWORKS = "interval over seeds, of one network over the validation images alone"
CLIPPING = (  # names in the first_layer stage: at the paper's scale of the inputs, where that was trained, or at ours
    ("zfnet, paper's scale, no RMS clipping", "zfnet, paper's scale"),
    ("zfnet, no RMS clipping", "zfnet"),
)

CLAIMS = (
    Claim(
        "hierarchy", ZF, "4", "Fig. 2",
        "The features are hierarchical: lower layers answer to edges and colours, upper ones to parts and whole "
        "objects of a class.",
        "Share of a map's nine strongest images that are of one class, layer 5 minus layer 1; interval over maps.",
        "top_activations", lambda r: minus(purity(r, 5), purity(r, 1)),
    ),
    Claim(
        "lower-settle-early", ZF, "4", "Fig. 4",
        "The lower layers of the model converge within a few epochs.",
        "When layer 1's projections come to stay within a cosine of 0.9 of the last, in percent of the training; "
        "interval over maps; “a few epochs” is put at a fifth of it (our choice).",
        "evolution", lambda r: settled_share(r, 1), 20.0, False, "%",
    ),
    Claim(
        "upper-settle-late", ZF, "4", "Fig. 4",
        "The upper layers only develop after a considerable number of epochs (40 to 50 of 70).",
        "The epoch at which layer 5 has settled, minus that of layer 1; interval over maps.",
        "evolution", lambda r: minus(settled(r, 5), settled(r, 1)), unit="epochs",
    ),
    Claim(
        "layer-1-jumps", ZF, "4", "Fig. 5",
        "Small transformations have a dramatic effect in the first layer and a lesser one at the top.",
        "Mean distance of the features over vertical shifts of at most a tenth, layer 1 minus layer 7, image by image; "
        "1 is the distance of two pictures.",
        "invariance", lambda r: moved(r, "translation", 7, "layer1_further"),
    ),
    Claim(
        "quasi-linear-translation", ZF, "4", "Fig. 5",
        "At layer 7 the effect of translation is quasi-linear.",
        "R² of the mean distance at layer 7 against the size of the shift; “quasi-linear” is put at 0.9 (our choice).",
        "invariance", lambda r: moved(r, "translation", 7, "linearity"), 0.9,
    ),
    Claim(
        "quasi-linear-scale", ZF, "4", "Fig. 5",
        "At layer 7 the effect of scaling is quasi-linear.",
        "R² of the mean distance at layer 7 against the change of scale; “quasi-linear” is put at 0.9 (our choice).",
        "invariance", lambda r: moved(r, "scale", 7, "linearity"), 0.9,
    ),
    Claim(
        "output-stable", ZF, "4", "Fig. 5",
        "The network's output is stable to translations and scalings.",
        "Share of images that keep their predicted class when shifted by a tenth, or when enlarged 1.2 times, "
        "whichever is smaller; “stable” is put at half (our choice).",
        "invariance",
        lambda r: evidence.smaller(kept_class(r, "translation of 10 %"), kept_class(r, "scale 1.2")), 50.0, unit="%",
    ),
    Claim(
        "not-rotation", ZF, "4", "Fig. 5",
        "In general the output is not invariant to rotation.",
        "Share of images that keep their predicted class when shifted by a tenth, minus that when turned by 90 "
        "degrees; image by image.",
        "invariance", lambda r: kept_class(r, "translation of 10 % minus rotation by 90 degrees"), unit="points",
    ),
    Claim(
        "clipping", ZF, "3", "Fig. 6a",
        "Without renormalising the filters, a few of them dominate the first layer.",
        "Share of the filters' energy in the strongest tenth, trained without renormalisation minus trained with it.",
        "first_layer", unclipped_dominance,
    ),
    Claim(
        "fewer-dead", ZF, "4.1", "Fig. 6b, c",
        "The smaller stride and filter size leave fewer features dead.",
        "Dead first-layer filters in Krizhevsky's network minus those in ZF's.",
        "first_layer", lambda r: scaled(first_layer_rise(r, "dead", "krizhevsky", "zfnet"), 100), unit="points",
    ),
    Claim(
        "aliasing", ZF, "4.1", "Fig. 6d, e",
        "The large stride of the first convolution causes aliasing in the second layer.",
        "Share of energy in layer 2's projections above what the network's own first stride can sample, Krizhevsky's "
        "network minus ZF's.",
        "first_layer", lambda r: first_layer_rise(r, "aliased_layer2", "krizhevsky", "zfnet"),
    ),
    Claim(
        "beats-krizhevsky", ZF, "5.1", "Table 3",
        "The changed architecture beats Krizhevsky's.",
        f"Validation top-1 error of Krizhevsky's network minus ZF's, trained alike; {NETWORKS}.",
        "ablations", lambda r: error_rise(r, "krizhevsky", "zfnet"), unit="points",
    ),
    Claim(
        "depth-matters", ZF, "5.1", "Table 3",
        "Removing both the middle convolutions and the fully connected layers leaves a network whose performance is "
        "dramatically worse.",
        "Rise of validation top-1 error when layers 3, 4, 6 and 7 are removed; “dramatically” is put at 10 points (our "
        f"choice; in the paper it is 30.8); {NETWORKS}.",
        "ablations", lambda r: error_rise(r, "krizhevsky-no3467", "krizhevsky"), 10.0, unit="points",
    ),
    Claim(
        "depth-not-sections", ZF, "5.1", "Table 3",
        "Overall depth matters more than any single section.",
        "Validation top-1 error without layers 3, 4, 6 and 7, minus the larger of those without 3 and 4 and without 6 "
        f"and 7; {NETWORKS}.",
        "ablations", beyond_either, unit="points",
    ),
    Claim(
        "top-layers-slight", ZF, "5.1", "Table 3",
        "Removing the fully connected layers gives only a slight increase in error.",
        "Change of validation top-1 error without layers 6 and 7, up or down; “slight” is put at 5 points (our choice; "
        f"in the paper it rises by 4.3); {NETWORKS}.",
        "ablations", lambda r: evidence.size(error_rise(r, "krizhevsky-no67", "krizhevsky")), 5.0, False, "points",
    ),
    Claim(
        "wide-overfits", ZF, "5.1", "Table 3",
        "Enlarging the middle and the fully connected layers together overfits.",
        f"Gap between validation and training error of the centre crop, largest network minus ZF's; {NETWORKS}.",
        "ablations", lambda r: minus(overfit_gap(r, "zfnet-wide345-fc8192"), overfit_gap(r, "zfnet")), unit="points",
    ),
    Claim(
        "wide-helps", ZF, "5.1", "Table 3",
        "Increasing the size of the middle convolutions gives a useful gain.",
        f"Validation top-1 error of ZF's network minus that with layers 3, 4, 5 enlarged; {NETWORKS}.",
        "ablations", lambda r: error_rise(r, "zfnet", "zfnet-wide345"), unit="points",
    ),
    Claim(
        "occlusion-drop", ZF, "4.2", "Fig. 7d",
        "When the object is covered, the probability of its class drops significantly.",
        "Fall of the true class's probability with the square inside the object's box, minus that with it outside.",
        "occlusion", lambda r: at(r, "occlusion", "drop_difference"),
    ),
    Claim(
        "occlusion-place", ZF, "4.2", "Fig. 7d",
        "The model locates the object in the scene and does not just use the context around it.",
        "How often the deepest fall lies inside the object's box, minus how often a random place does.",
        "occlusion", lambda r: at(r, "occlusion", "above_chance"),
    ),
    Claim(
        "occlusion-activity", ZF, "4.2", "Fig. 7b",
        "Covering what the strongest layer-5 map is seen to show makes its activity drop: the projections are genuine.",
        "Share of the map's projection under the square where its activity is lowest, minus the mean over all places.",
        "occlusion", lambda r: at(r, "occlusion", "projection_difference"),
    ),
    Claim(
        "correspondence-5", ZF, "4.3", "Table 1",
        "At layer 5 the model establishes some correspondence between the same parts of different images.",
        "Sign disagreement when random places are covered, minus that for eyes and nose, as the equation has it: "
        "features that do not move count as agreeing (Table 1 is also shown without them); interval over faces.",
        "correspondence", lambda r: at(r, "correspondence", "layer5.difference"),
    ),
    Claim(
        "correspondence-7", ZF, "4.3", "Table 1",
        "At layer 7 that difference shrinks, since the layer tells breeds apart rather than parts.",
        "The difference at layer 5 minus the difference at layer 7; interval over faces.",
        "correspondence", lambda r: at(r, "correspondence", "shrinks"),
    ),
    Claim(
        "pretraining", ZF, "5.2", "Table 4",
        "Features learnt on ImageNet beat a network trained from scratch on the small set by a wide margin.",
        "Mean per-class accuracy, pretrained minus trained from scratch, both with the largest training set; interval "
        "over folds, of one fold over its test images; “wide” is put at 10 points (our choice; in the paper it is 40).",
        "transfer", lambda r: pretrained_gain(r, max), 10.0, unit="points",
    ),
    Claim(
        "few-examples", ZF, "5.2", "Fig. 9",
        "Pretrained features need only a tenth of the training images to pass what is learnt without them.",
        "Accuracy of pretrained features with at most a tenth of the images, minus that from scratch with all; "
        "interval over folds, of one fold over its test images.",
        "transfer", lambda r: pretrained_gain(r, a_tenth), unit="points",
    ),
    Claim(
        "depth-transfers", ZF, "5.3", "Table 7",
        "The features become steadily better as one ascends the layers.",
        "Slope of the linear SVM's accuracy over layers 1 to 7, in points a layer; interval over folds.",
        "transfer", depth_slope, unit="points",
    ),
    Claim(
        "score-not-posterior", SVZ, "2", "",
        "The posterior can also be raised by lowering the scores of the other classes.",
        "Fall of the other classes' scores (log of the sum of their exponentials) while the posterior is climbed; "
        "interval over classes.",
        "class_model", rivals_fall,
    ),
    Claim(
        "saliency-on-object", SVZ, "3", "Fig. 2",
        "The gradient of the class score shows where in the image the object is.",
        "Share of saliency inside the true box minus the box's share of the image.",
        "saliency", lambda r: at(r, "saliency", "excess"),
    ),
    Claim(
        "localization", SVZ, "3.2", "",
        "A classification network localises objects although it was never taught where they are.",
        "Error with the class known, saliency and graph cut minus the box in the centre; image by image.",
        "localization", lambda r: at(r, "localization", "differences.centre.known_error"), above=False, unit="points",
    ),
    Claim(
        "graph-cut", SVZ, "3.2", "",
        "Saliency may cover only the most telling part of an object; colour continuity carries it over the whole.",
        "Error with the class known, graph cut minus the box of the thresholded saliency; image by image.",
        "localization", lambda r: at(r, "localization", "differences.threshold.known_error"),
        above=False, unit="points",
    ),
    Claim(
        "weights-turn", K, "2", "Fig. 2",
        "The direction of a weight vector is set by the distractor; a pattern learnt from data keeps to the signal.",
        "Degrees from the signal of the toy model, weights minus pattern; interval over turns of the distractor.",
        "patterns", toy_angles, unit="degrees",
    ),
    Claim(
        "weights-no-signal", K, "5", "Fig. 3",
        "The weights (which deconvnet and guided back-propagation use) take out hardly more signal than chance.",
        "ρ of S_w minus ρ of a random direction, neuron by neuron; “hardly” is put at 0.1 (our choice).",
        "patterns", lambda r: at(r, "patterns", "rho_differences.y.w above random"), 0.1, False,
    ),
    Claim(
        "patterns-signal", K, "5", "Fig. 3",
        "The estimators learnt from data take out much more of the signal than the weights.",
        "ρ of S_a± minus ρ of S_w, neuron by neuron over all layers; “much” is put at 0.1 (our choice).",
        "patterns", lambda r: at(r, "patterns", "rho_differences.y.a+ above w"), 0.1,
    ),
    Claim(
        "two-component", K, "5", "Fig. 3",
        "In fully connected ReLU layers the two-component estimator is needed.",
        "ρ of S_a± minus ρ of S_a in those layers, read off the neuron's output (our reading); neuron by neuron.",
        "patterns", lambda r: at(r, "patterns", "rho_differences.output.a+ above a, fully connected"),
    ),
    Claim(
        "degradation", K, "5", "Fig. 4",
        "PatternAttribution finds what the answer rests on better than gradient times input.",
        "Area under the degradation curve, gradient × input minus PatternAttribution; image by image.",
        "patterns", lambda r: at(r, "patterns", "degradation.gradient x input.above_a+"),
    ),
    Claim(
        "degradation-random", K, "5", "Fig. 4",
        "A random order of patches hurts the answer least.",
        "Area under the degradation curve, random order minus the method nearest to it; image by image.",
        "patterns", worst_beside_random,
    ),
)  # fmt: skip

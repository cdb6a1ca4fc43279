"""Claims of [K17]: weights, patterns, and what they attribute."""

from zfnet.core.statistics import Measure
from zfnet.report import evidence
from zfnet.report.claims.claim import IMAGES, Claim
from zfnet.report.evidence import Results, at

HARDLY = MUCH = 0.1  # of rho
NEURONS = "neurons of the layers with enough samples, of one network"


def at_every_patch(results: Results, method: str, key: str) -> Measure | None:
    """A number of a method's degradation curve at every size of the patches."""
    sizes = evidence.raw(results, "patterns", "patch_sizes") or {}
    return evidence.every(*(evidence.measure(size.get(method, {}).get(key)) for size in sizes.values()))


def worst_beside_random(results: Results) -> Measure | None:
    """Area under the degradation curve, random order minus each method."""
    methods = [name for name in evidence.raw(results, "patterns", "degradation") or {} if name != "random"]
    return evidence.every(*(at(results, "patterns", f"degradation.{name}.below_random") for name in methods))


def too_few_samples(results: Results) -> str:
    """Why the fully connected layers are not judged; empty where they have enough samples, or there are none."""
    samples = evidence.raw(results, "patterns", "samples") or {}
    few = evidence.raw(results, "patterns", "too_few_samples") or []
    dense = [name for name in few if name.startswith("fc")]
    if not dense:
        return ""
    inputs = max(samples[name]["inputs"] for name in dense)
    return (
        f"Fewer than five samples for each input of {', '.join(dense)}: patterns.n_measure={5 * inputs} images in the "
        "second half of the training images, as profile=tiny_imagenet has."
    )


CLAIMS = (
    Claim(
        "weights-turn", "K17", "2", "Fig. 2",
        "The direction of a weight vector is set by the distractor; a pattern learnt from data keeps to the signal.",
        "Degrees from the signal of the toy model, weights minus pattern, for distractors in random directions.",
        "patterns", lambda r: at(r, "patterns", "toy.turned_further"), resampled="draws of the distractor and the data",
        fails_if="the pattern turns with the distractor as far as the weights do", unit="degrees", null="",
        no_null="no network is in it",
        by_construction="Least squares put the weights at right angles to the distractor: arithmetic, not a finding.",
    ),
    Claim(
        "weights-no-signal", "K17", "5", "Fig. 3",
        "The weights (which deconvnet and guided back-propagation use) take out hardly more signal than chance.",
        "ρ of S_w minus ρ of a random direction, neuron by neuron, in layers with five samples or more for each input.",
        "patterns", lambda r: at(r, "patterns", "rho_differences.y.w above random"), resampled=NEURONS,
        fails_if="the weights take out at least 0.1 more",
        threshold=HARDLY, reason="“hardly” is put at 0.1 (our choice)", above=False,
    ),
    Claim(
        "patterns-signal", "K17", "5", "Fig. 3",
        "The estimators learnt from data take out much more of the signal than the weights.",
        "ρ of S_a± minus ρ of S_w, neuron by neuron, in layers with five samples or more for each input.",
        "patterns", lambda r: at(r, "patterns", "rho_differences.y.a+ above w"), resampled=NEURONS,
        fails_if="S_a± takes out less than 0.1 more",
        threshold=MUCH, reason="“much” is put at 0.1 (our choice)",
        by_construction="S_a and S_a± leave no covariance with y on the images that they are fitted on, whatever the "
        "weights; what is left of ρ is how well they carry over.",
    ),
    Claim(
        "two-component", "K17", "5", "Fig. 3",
        "In fully connected ReLU layers the two-component estimator is needed.",
        "Our reading, as the printed ρ cannot tell the two apart: ρ of S_a± minus ρ of S_a read off the neuron's "
        "output, in the fully connected layers that have a ReLU, neuron by neuron.",
        "patterns", lambda r: at(r, "patterns", "rho_differences.output.a+ above a, fully connected with ReLU"),
        resampled=NEURONS, fails_if="S_a removes as much of the neuron's output", untested=too_few_samples,
    ),
    Claim(
        "degradation", "K17", "5", "Fig. 4",
        "PatternAttribution finds what the answer rests on better than gradient times input.",
        "Area under the degradation curve, gradient × input minus PatternAttribution, image by image, at every size of "
        "the patches that is tried; the same share of the picture is taken away at each.",
        "patterns", lambda r: at_every_patch(r, "gradient x input", "above_a+"), resampled=IMAGES,
        fails_if="at one of the patch sizes the answer falls as fast by gradient × input",
    ),
    Claim(
        "degradation-random", "K17", "5", "Fig. 4",
        "A random order of patches hurts the answer least.",
        "Area under the degradation curve, random order minus each of the methods, image by image; all must lie below.",
        "patterns", worst_beside_random, resampled=IMAGES,
        fails_if="one of the methods hurts no more than a random order",
    ),
)  # fmt: skip

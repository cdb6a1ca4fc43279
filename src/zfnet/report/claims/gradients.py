"""Claims of [SVZ13]: class models, saliency, localization, and the deconvnet as a gradient."""

from zfnet.report.claims.claim import IMAGES, ONE_NETWORK, Claim
from zfnet.report.evidence import at

ROUNDING = 1e-4  # relative difference of two float32 passes

CLAIMS = (
    Claim(
        "score-not-posterior", "SVZ13", "2", "",
        "The posterior can also be raised by lowering the scores of the other classes.",
        "Log of the sum of the other classes' exponentials, climbing the score minus climbing the posterior, where "
        "both have reached the same score of their own class. Both climbs have the same penalty on the norm.",
        "class_model", lambda r: at(r, "class_model", "rivals_higher_on_score"), resampled=f"classes {ONE_NETWORK}",
        fails_if="at the same own score the other classes are as high on the way up the posterior",
    ),
    Claim(
        "saliency-on-object", "SVZ13", "3", "Fig. 2",
        "The gradient of the class score shows where in the image the object is.",
        "Share of saliency inside the true box minus the box's share of the image, minus the same with the boxes of "
        "the other images.",
        "saliency", lambda r: at(r, "saliency", "above_others"), resampled=IMAGES,
        fails_if="the map fits the boxes of other images as well: it is drawn to the centre and not to the object",
    ),
    Claim(
        "localization", "SVZ13", "3.2", "",
        "A classification network localises objects although it was never taught where they are.",
        "Error with the class known, saliency and graph cut minus the box in the centre, image by image.",
        "localization", lambda r: at(r, "localization", "differences.centre.known_error"),
        resampled=IMAGES,
        fails_if="a box in the centre, of a size chosen on other images, is as good",
        above=False, unit="points",
    ),
    Claim(
        "graph-cut", "SVZ13", "3.2", "",
        "Saliency may cover only the most telling part of an object; colour continuity carries it over the whole.",
        "Error with the class known, graph cut minus the box of the thresholded saliency, image by image.",
        "localization", lambda r: at(r, "localization", "differences.threshold.known_error"),
        resampled=IMAGES, fails_if="the box of the thresholded map is as good",
        above=False, unit="points",
    ),
    Claim(
        "gradient-is-deconvnet", "SVZ13", "4", "",
        "The deconvnet is the gradient, layer by layer, but for the ReLU.",
        "Largest relative difference of the two backward steps over the convolutions, pools and fully connected layers "
        "of the network, for the same signal from above.",
        "saliency", lambda r: at(r, "saliency", "deconvnet.largest_elsewhere"), resampled="layers: the largest of them",
        fails_if="a layer other than a ReLU passes the two signals on differently",
        threshold=ROUNDING, reason="the rounding of two passes in single precision", above=False, null="",
        no_null="an identity, whatever the weights",
        by_construction="An identity of the two rules: it tests this code and no network.",
    ),
)  # fmt: skip

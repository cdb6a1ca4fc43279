"""Options of stage patterns."""

from dataclasses import dataclass

from zfnet.core.options import number


@dataclass
class PatternsOptions:
    """The images and neurons of the patterns, of rho and of image degradation."""

    n_images: int = number(0, at_least=0)  # training images for the patterns; 0: the first half, as [K17]
    n_measure: int = number(2000, at_least=2)  # images of the second half, and of validation, for rho; the paper: all
    n_neurons: int = number(64, at_least=1)  # neurons a layer whose rho is measured [our choice]; the paper: all
    n_degraded: int = number(64, at_least=1)  # validation images that lose patches by every method; the paper: all
    n_swept: int = number(1000, at_least=1)  # that lose patches of every size by two methods [our choice]
    patch_sizes: list[float] = number([9.0, 24.0], above=0, nonempty=True)  # px at 224 [our choice]
    patch: float = number(9.0, above=0)  # px at 224, scaled to the crop [K17] Fig. 4
    n_patches: int = number(100, at_least=1)  # replaced at 224 px, elsewhere as much of the picture [K17] Fig. 4
    points: int = number(10, at_least=1)  # measured on each curve; the paper: every patch
    n_shown: int = number(6, at_least=1)  # images in the picture [K17] Fig. 6
    batch: int = number(128, at_least=1)

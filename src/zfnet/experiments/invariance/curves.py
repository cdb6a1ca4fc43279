"""What is measured of one kind of transformation."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Curves:
    """One kind of transformation on n images at each of a amounts."""

    amounts: np.ndarray  # (a,) px at 224, factor, or degrees
    distances: dict[int, np.ndarray]  # layer -> (n, a)
    straightness: dict[int, np.ndarray]  # layer -> (n,)
    probability: np.ndarray  # (n, a) of the true class; nan where the network does not know it
    kept: np.ndarray  # (n, a) bool, whether the most probable class is that of the untransformed image
    change: np.ndarray  # (n, a) root mean square of the pixels' change

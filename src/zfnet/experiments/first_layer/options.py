"""Options of stage first_layer."""

from dataclasses import dataclass

from zfnet.core.options import number


@dataclass
class FirstLayerOptions:
    """The images on which the first layer's filters are tried."""

    n_images: int = number(1000, at_least=1)  # on which a filter must fire not to be called dead [NS]
    n_shifted: int = number(200, at_least=2)  # of these, that are shifted [our choice]
    batch: int = number(256, at_least=1)

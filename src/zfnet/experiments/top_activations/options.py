"""Options of stage top_activations."""

from dataclasses import dataclass

from zfnet.core.options import number


@dataclass
class TopActivationsOptions:
    """Which feature maps are shown, and with how many images each."""

    top: int = number(9, at_least=1, at_most=25)  # [ZF13] Fig. 2
    n_maps: list[int] = number(
        [16, 16, 12, 10, 10], at_least=1, nonempty=True
    )  # maps shown of layers 1..5 [ZF13 Fig. 2, layer 1 ours]; the last number holds for all layers above
    atlas_maps: int = number(0, at_least=0)  # maps a layer in the atlas; 0: all
    batch: int = number(256, at_least=1)

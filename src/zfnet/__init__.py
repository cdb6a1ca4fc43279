"""zfnet: looking inside convnets. [ZF13], [SVZ13] and [K17] from raw images to the papers' own tables.

[ZF13]  Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", arXiv 1311.2901, ECCV 2014.
[SVZ13] Simonyan, Vedaldi & Zisserman, "Deep Inside Convolutional Networks", arXiv 1312.6034.
[K17]   Kindermans et al., "Learning how to explain neural networks: PatternNet and PatternAttribution",
        arXiv 1705.05598, ICLR 2018.

The public API is imported when it is first used: `import zfnet` alone does not load torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zfnet.api import (
        ClassModel,
        Explanation,
        Network,
        OcclusionMap,
        Projection,
        Saliency,
        TopActivations,
        class_model,
        explain,
        load_network,
        occlude,
        patterns,
        project,
        saliency,
        top_activations,
    )

__version__ = "0.2.0"
__all__ = [
    "ClassModel",
    "Explanation",
    "Network",
    "OcclusionMap",
    "Projection",
    "Saliency",
    "TopActivations",
    "class_model",
    "explain",
    "load_network",
    "occlude",
    "patterns",
    "project",
    "saliency",
    "top_activations",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'zfnet' has no attribute {name!r}")
    from zfnet import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

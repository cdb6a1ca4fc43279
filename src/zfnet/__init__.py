"""zfnet: looking inside convnets. [ZF13], [SVZ13] and [K17] from raw images to the papers' own tables.

[ZF13]  Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", arXiv 1311.2901, ECCV 2014.
[SVZ13] Simonyan, Vedaldi & Zisserman, "Deep Inside Convolutional Networks", arXiv 1312.6034.
[K17]   Kindermans et al., "Learning how to explain neural networks: PatternNet and PatternAttribution",
        arXiv 1705.05598, ICLR 2018.
"""

__version__ = "0.1.0"

"""Options of the networks: the one that is trained, and the one that is analyzed."""

from dataclasses import dataclass, field

from zfnet.core.options import choice, number

TRAINED = "trained"  # the profile's own network


@dataclass
class ModelOptions:
    name: str = "zfnet"  # a row of zfnet.networks.table.VARIANTS
    width: float = number(1.0, above=0, at_most=4)  # factor on all maps and units; the papers: 1
    dropout: float = number(0.5, at_least=0, at_most=0.95)  # after fc6 and fc7 [ZF13 3]
    init: str = choice("paper", "paper", "he", "gain")  # paper: N(0, 0.01), biases 0 [ZF13 3]; see ConvNet.initialize


@dataclass
class NetworkOptions:
    """The network that is analyzed, as `zfnet.networks.load.load_network` takes it."""

    name: str = TRAINED  # or a folder, alexnet, ... of torchvision, timm:NAME, my_package.my_module:make
    weights: str = ""  # "": the library's own; a file with a state dict; random: a trial
    frame: int = number(0, at_least=0)  # px, side of the frame; 0: the network's own
    crop: int = number(0, at_least=0)  # px, side of the input; 0: the network's own
    mean: list[float] = field(default_factory=list)  # of R, G, B in 0..1; []: the network's own
    std: list[float] = field(default_factory=list)  # likewise
    classes: str = ""  # text file with one class a line, `id` or `id name`, in the order of the outputs

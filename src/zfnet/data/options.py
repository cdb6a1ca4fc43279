"""Options of the dataset."""

from dataclasses import dataclass, field

from zfnet.core.options import choice, number


@dataclass
class MenagerieOptions:
    """Number of pictures to draw for the source `menagerie`."""

    train_per_class: int = number(240, at_least=1)
    val_per_class: int = number(40, at_least=1)
    caltech_per_class: int = number(50, at_least=2)
    voc_images: int = number(200, at_least=1)
    seed: int = number(0, at_least=0)


@dataclass
class DataOptions:
    source: str = choice("menagerie", "menagerie", "tiny_imagenet", "folder", "imagenet", "photographs")
    root: str = ""  # folder of the dataset; empty: see data/README.md
    n_classes: int = number(0, at_least=0)  # the first classes in order; 0: all
    train_per_class: int = number(0, at_least=0)  # images a class; 0: all
    val_per_class: int = number(0, at_least=0)
    leave_out: str = ""  # file of training images to leave out, a path a line; see transfer/leave_out.txt [ZF13 5.2]
    val_share: float = number(0.2, above=0, at_most=0.9)  # of a `folder` without a val/ of its own
    size: int = number(256, at_least=32, at_most=512)  # px, side of the frame; crops are 224/256 of it [ZF13 3]
    cache: str = choice("raw", "raw", "jpeg")  # frames as pixels (196 kB at 256 px), or as JPEGs (about 20 kB)
    quality: int = number(90, at_least=50, at_most=100)  # of those JPEGs
    bad_limit: int = number(0, at_least=0)  # unreadable files that may be left out
    seed: int = number(0, at_least=0)  # which images a limit keeps
    menagerie: MenagerieOptions = field(default_factory=MenagerieOptions)

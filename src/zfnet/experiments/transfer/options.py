"""Options of stage transfer."""

from dataclasses import dataclass

from zfnet.core.options import choice, number


@dataclass
class TransferOptions:
    """Stage transfer: the transfer set, its splits, the classifiers and the whole networks trained on it."""

    source: str = choice("menagerie", "menagerie", "caltech101", "caltech256", "none")  # names its protocol too
    root: str = ""  # folder of the transfer set; empty: <paths.data>/<source>
    background: bool = False  # whether BACKGROUND_Google or 257.clutter counts as a class [NS]
    layers: list[int] = number([1, 2, 3, 4, 5, 7], at_least=1)  # with an SVM [ZF13] Table 7
    softmax_layers: list[int] = number([5, 7], at_least=1)  # with a softmax [ZF13] Table 7
    per_class: list[int] = number([], at_least=1)  # training images a class; empty: the protocol's
    test_per_class: int = number(0, at_least=0)  # test images a class, at most; 0: the protocol's
    folds: int = number(0, at_least=0)  # 0: the protocol's
    few_shot: list[int] = number([1, 2, 5, 10, 20], at_least=1)  # further points of the curve [ZF13] Fig. 9
    trained_folds: int = number(1, at_least=1)  # folds on which whole networks are trained; the paper: all
    trained_epochs: int = number(60, at_least=0)  # of those networks [NS]; 0: none is trained
    trained_batch: int = number(32, at_least=1)  # images a step of those networks [NS]
    crops: str = choice("ten", "center", "ten")  # of features and of whole networks' predictions, averaged [NS]
    scaling: str = choice("center", "center", "mean", "unit")  # of the features, see zfnet.linear.gram [NS]
    c_grid: list[float] = number([0.01, 0.1, 1.0, 10.0], above=0, nonempty=True)  # C is chosen on held-out images [NS]
    reverse: int = number(30, at_least=0)  # images a class of the pre-training set, the other way round; 0: not done
    duplicates: float = number(0.975, above=0, at_most=1)  # correlation from which images are near-duplicates [NS]
    batch: int = number(64, at_least=1)  # images in one forward pass

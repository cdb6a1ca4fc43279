"""Options of stage voc."""

from dataclasses import dataclass

from zfnet.core.options import choice, number


@dataclass
class VocOptions:
    """Stage voc: the year and splits of PASCAL VOC, the features and the classifiers."""

    source: str = choice("menagerie", "menagerie", "voc2007", "voc2012", "none")
    root: str = ""  # VOC<year> or the folder that holds it; empty: <paths.data>/VOCdevkit/VOC<year>
    test: str = choice("auto", "auto", "val", "test")  # val: trained on train; test: on train + val, as [ZF13]
    crops: str = choice("center", "center", "ten")  # ten: features averaged over the ten crops [NS]
    scaling: str = choice("center", "center", "mean", "unit")  # of the features, see zfnet.linear.gram [NS]
    c_grid: list[float] = number([0.01, 0.1, 1.0, 10.0], above=0, nonempty=True)  # grows if the best is at its end [NS]
    batch: int = number(64, at_least=1)  # images in one forward pass

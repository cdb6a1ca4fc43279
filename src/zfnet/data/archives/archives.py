"""The table of the archives that the datasets come in, and the folder that each becomes.

An archive is recognized by its file name and becomes the folder `into` beside itself, where the sources look for it:
data/imagenet/ILSVRC2012_img_val.tar becomes data/imagenet/val. MD5 sums are those of torchvision (datasets/imagenet.py,
caltech.py, voc.py) and of fast.ai, empty where unknown; sizes are those of the published files, 0 where unknown.
`zfnet data fetch NAME` downloads the archives whose `name` it is from the first of `urls` that serves them.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from zfnet.core.errors import UserError
from zfnet.data.listing import list_folder

CLASSES = "classes"  # of Archive.holds: a .tar a class, as in ILSVRC2012_img_train.tar


@dataclass(frozen=True)
class Archive:
    """One row: an archive and the folder that it becomes."""

    dataset: str
    file: str
    into: str  # the folder that it becomes, relative to its own
    source: str  # where to obtain it
    name: str = ""  # of the dataset, as `zfnet data fetch` takes it
    urls: tuple[str, ...] = ()  # the official address, then copies elsewhere; empty: it needs a login
    top: str = ""  # folder in the archive whose contents are wanted; "": the last `depth` parts of every name
    depth: int = 1
    holds: str = ""  # CLASSES, or the name of the archive inside this one
    proof: str = "."  # pattern of a file in `into` that exists once the archive is unpacked
    n_classes: int = 0  # folders with images, 0: none
    n_images: int = 0  # images or box files, 0: unknown
    size: int = 0  # bytes, 0: unknown
    md5: str = ""  # empty: unknown
    growth: float = 1.1  # bytes on disk per byte of the archive; small files fill whole blocks

    def place(self, beside: Path) -> Path:
        """The folder that the archive in the folder `beside` becomes; a caltech101/ within caltech101/ is left out."""
        first, *rest = PurePosixPath(self.into).parts
        return beside.joinpath(*rest) if rest and beside.name == first else beside / self.into

    def is_unpacked(self, beside: Path) -> bool:
        place = self.place(beside)
        return place.is_dir() and (self.proof == "." or any(place.glob(self.proof)))


_VOC = "https://thor.robots.ox.ac.uk/pascal/VOC"
_VOC_COPIES = "https://data.pjreddie.com/files"
_ilsvrc = partial(
    Archive, "ILSVRC-2012", source="image-net.org/challenges/LSVRC/2012 (after registration)", name="imagenet"
)
_caltech101 = partial(
    Archive,
    "Caltech-101",
    into="caltech101/101_ObjectCategories",
    source="data.caltech.edu/records/mzrjq-6wc02",
    name="caltech101",
    top="101_ObjectCategories",
    n_classes=102,
    n_images=9_144,
    growth=1.4,
)
_voc2007 = partial(
    Archive,
    "PASCAL VOC 2007",
    into="VOCdevkit/VOC2007",
    source="thor.robots.ox.ac.uk/pascal/VOC/voc2007",
    name="voc2007",
    top="VOC2007",
)

ARCHIVES = (
    _ilsvrc(
        "ILSVRC2012_img_train.tar",
        into="train",
        proof="n*/n*.JPEG",
        holds=CLASSES,
        n_classes=1000,
        n_images=1_281_167,
        size=147_897_477_120,
        md5="1d675b47d978889d74fa0da5fadfb00e",
    ),
    _ilsvrc(
        "ILSVRC2012_img_val.tar",
        into="val",
        proof="**/ILSVRC2012_val_*.JPEG",
        n_images=50_000,
        size=6_744_924_160,
        md5="29b22e2961454d5413ddabcf34fc5622",
    ),
    _ilsvrc(
        "ILSVRC2012_devkit_t12.tar.gz",
        into="ILSVRC2012_devkit_t12",
        top="ILSVRC2012_devkit_t12",
        proof="data/meta.mat",
        md5="fa75699e90414af021442c21a62c3abf",
        growth=10,
    ),
    _ilsvrc(
        "ILSVRC2012_bbox_train_v2.tar.gz",
        into="Annotations/train",
        proof="n*/n*.xml",
        depth=2,
        growth=150,
    ),
    _ilsvrc(
        "ILSVRC2012_bbox_val_v3.tgz",
        into="Annotations/val",
        proof="ILSVRC2012_val_*.xml",
        n_images=50_000,
        growth=150,
    ),
    Archive(
        "Tiny ImageNet",
        "tiny-imagenet-200.zip",
        into="tiny-imagenet-200",
        source="cs231n.stanford.edu/tiny-imagenet-200.zip",
        name="tiny_imagenet",
        urls=(
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            "https://image-net.org/data/tiny-imagenet-200.zip",
        ),
        top="tiny-imagenet-200",
        proof="wnids.txt",
        n_images=110_000,
        size=248_100_043,
        md5="90528d7ca1a48142e341f4ef8d21d0de",
        growth=2.5,
    ),
    _caltech101(
        "caltech-101.zip",
        urls=("https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",),
        holds="101_ObjectCategories.tar.gz",
        size=137_414_764,
        md5="3138e1922a9193bfa496528edbbc45d0",
    ),
    _caltech101("101_ObjectCategories.tar.gz", size=131_740_031),
    Archive(
        "Caltech-256",
        "256_ObjectCategories.tar",
        into="caltech256/256_ObjectCategories",
        source="data.caltech.edu/records/nyy15-4j048",
        name="caltech256",
        urls=("https://data.caltech.edu/records/nyy15-4j048/files/256_ObjectCategories.tar",),
        top="256_ObjectCategories",
        n_classes=257,
        n_images=30_607,
        size=1_183_006_720,
        md5="67b4f42ca05d46448c6bb8ecd2220f6d",
    ),
    _voc2007(
        "VOCtrainval_06-Nov-2007.tar",
        urls=(
            f"{_VOC}/voc2007/VOCtrainval_06-Nov-2007.tar",
            f"{_VOC_COPIES}/VOCtrainval_06-Nov-2007.tar",
        ),
        proof="ImageSets/Main/trainval.txt",
        n_images=5_011,
        size=460_032_000,
        md5="c52e279531787c972589f7e41ab4ae64",
    ),
    _voc2007(
        "VOCtest_06-Nov-2007.tar",
        urls=(
            f"{_VOC}/voc2007/VOCtest_06-Nov-2007.tar",
            f"{_VOC_COPIES}/VOCtest_06-Nov-2007.tar",
        ),
        proof="ImageSets/Main/test.txt",
        n_images=4_952,
        size=451_020_800,
        md5="b6e924de25625d8de591ea690078ad9f",
    ),
    Archive(
        "PASCAL VOC 2012",
        "VOCtrainval_11-May-2012.tar",
        into="VOCdevkit/VOC2012",
        source="thor.robots.ox.ac.uk/pascal/VOC/voc2012",
        name="voc2012",
        urls=(
            f"{_VOC}/voc2012/VOCtrainval_11-May-2012.tar",
            f"{_VOC_COPIES}/VOCtrainval_11-May-2012.tar",
        ),
        top="VOC2012",
        proof="ImageSets/Main/trainval.txt",
        n_images=11_540,
        size=1_999_639_040,
        md5="6cd6e144f989b92b3379bac3b3de84fd",
    ),
    Archive(
        "Imagenette",
        "imagenette2-320.tgz",
        into="imagenette2-320",
        source="github.com/fastai/imagenette",
        name="imagenette",
        urls=("https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",),
        top="imagenette2-320",
        proof="val/n*/*.JPEG",
        n_classes=20,  # ten, in train/ and in val/
        n_images=13_394,
        size=341_663_724,
        md5="3df6f0d01a2c9592104656642f5e78a3",
    ),
)


def places(folder: Path) -> list[Path]:
    """`folder` and the folders in it, which may hold archives or datasets. Raises UserError where it is missing."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the one that holds the archives or datasets (DATA=folder)")
    return [folder, *(folder / name for name in list_folder(folder)[0])]


def find_archives(folder: Path, table: tuple[Archive, ...] = ARCHIVES) -> list[tuple[Archive, Path]]:
    """(row, file) of every known archive in `folder` or one folder below."""
    return [(row, place / row.file) for place in places(folder) for row in table if (place / row.file).is_file()]

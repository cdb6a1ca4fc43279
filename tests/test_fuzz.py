"""Every parser of users' files under mutation: it reads, or refuses with one line, and neither crashes nor hangs.

    python tests/test_fuzz.py 10000      (make fuzz) prints a row a parser
    pytest tests/test_fuzz.py            some tens of inputs each, and those that once failed

An input is a whole file of its kind after one to eight mutations, which its number alone decides.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zfnet.core.errors import UserError
from zfnet.data.decode import decode_rgb, read_orientation
from zfnet.data.index import make_index
from zfnet.data.sources.boxes_xml import read_annotation
from zfnet.data.sources.caltech import read_caltech
from zfnet.data.sources.folder import read_folder
from zfnet.data.sources.imagenet import find_blacklist, read_words
from zfnet.data.sources.photographs import read_photographs
from zfnet.data.sources.tiny_imagenet import read_tiny_imagenet
from zfnet.data.sources.val_labels import DEVKIT, devkit_synsets, read_flat_labels
from zfnet.data.sources.voc import read_voc
from zfnet.experiments.correspondence.parts import read_parts
from zfnet.experiments.localization.predictions import read_blacklist, score_file
from zfnet.experiments.sources import without

PATIENCE = 20  # seconds of work, after which an input hangs, or twelve times that of waiting
SHORT = 25  # inputs of each parser in the test suite
TOKENS = [
    *(b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\n\n", b"\t", b" ", b",", b";", b'"', b"'"),
    *(b"-1", b"0", b"1e999", b"nan", b"inf", b"-", b"1.5", b"9" * 25, b"9" * 5000, b"2147483648", "²٣".encode()),
    *(b"../", b"/", b"//", b"\\", b"a" * 300, b".", b"..", b"%s{}", b"<", b">", b"&x;", b"<!DOCTYPE a>", b"]]>"),
]


# ---- mutation -----------------------------------------------------------------------------------------------
def mutated(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        data = rng.choice(MUTATIONS)(data, rng)
    return data


def _place(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 64)))


def flip(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def insert(data: bytes, rng: random.Random) -> bytes:
    start, _ = _place(data, rng)
    return data[:start] + rng.choice(TOKENS) + data[start:]


def replace_part(data: bytes, rng: random.Random) -> bytes:
    start, end = _place(data, rng)
    return data[:start] + rng.choice(TOKENS) + data[end:]


def scramble(data: bytes, rng: random.Random) -> bytes:
    start, end = _place(data, rng)
    return data[:start] + rng.randbytes(end - start) + data[end:]


def delete(data: bytes, rng: random.Random) -> bytes:
    start, end = _place(data, rng)
    return data[:start] + data[end:]


def repeat(data: bytes, rng: random.Random) -> bytes:
    start, end = _place(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 3, 50)) + data[end:]


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def shuffle_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def encode(data: bytes, rng: random.Random) -> bytes:
    return data.decode("latin-1").encode(rng.choice(("utf-16", "utf-16-be", "utf-8-sig", "utf-8")))


MUTATIONS = (flip, flip, insert, replace_part, scramble, delete, repeat, cut, shuffle_lines, encode)


# ---- the parsers --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Parser:
    """A whole input, where it is written, and what reads it."""

    name: str
    seed: Callable[[], bytes]
    write: Callable[[Path, bytes], None]
    read: Callable[[Path], object]
    share: float = 1.0  # of the inputs, of one that starts a process


def text(content: str) -> Callable[[], bytes]:
    return content.encode


def into(name: str, **beside: bytes | str) -> Callable[[Path, bytes], None]:
    """Writes the input to the file `name`; `beside` are whole files that lie there as well."""

    def write(folder: Path, data: bytes) -> None:
        for other, content in ({path.replace("__", "/"): c for path, c in beside.items()} | {name: data}).items():
            path = folder / other
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            if other != name:
                os.utime(path, (0, 0))  # what is known of a file that stays the same is not read again

    return write


def as_tree(folder: Path, data: bytes) -> None:
    """A folder for the names in the input, a line each; of XML files those with boxes."""
    for line in data.split(b"\n")[:40]:
        path = os.path.normpath(os.fsencode(folder) + b"/" + line.replace(b"\0", b""))
        if not path.startswith(os.fsencode(folder) + b"/"):
            continue
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(XML.encode() if path.lower().endswith(b".xml") else b"")
        except OSError:
            continue  # a name that is too long, or a file where a folder should be


XML = """<annotation><folder>x</folder><size><width>300</width><height>200</height><depth>3</depth></size>
<object><name>cat</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2.5</ymin><xmax>30</xmax><ymax>40</ymax>
</bndbox></object><object><name>dog</name><bndbox><xmin>9</xmin><ymin>8</ymin><xmax>7</xmax><ymax>6</ymax></bndbox>
</object></annotation>"""
TREE = "\n".join(f"{name}/{name}_{i}.jpg" for name in ("cat", "dog") for i in range(3)) + "\n"
VAL = "".join(f"ILSVRC2012_val_{i:08d}.JPEG\tn0{1 + i % 2}\n" for i in range(1, 6))
TINY = {
    "wnids.txt": "n01\nn02\n",
    "words.txt": "n01\tgoldfish, carp\nn02\tshark\n",
    "train/n01/n01_boxes.txt": "n01_0.JPEG\t0\t0\t62\t63\nn01_1.JPEG\t1\t2\t30\t40\n",
    "train/n02/n02_boxes.txt": "n02_0.JPEG\t0\t0\t62\t63\n",
    "val/val_annotations.txt": "val_0.JPEG\tn01\t0\t32\t44\t62\nval_1.JPEG\tn02\t5\t1\t9\t62\n",
}


def meta_mat() -> bytes:
    from scipy.io import savemat

    kinds = [("ILSVRC2012_ID", float), ("WNID", object), ("words", object), ("num_children", float)]
    rows = [(1, "n01", "goldfish, carp", 0), (2, "n02", "shark", 0), (3, "n03", "fish", 2)]
    file = io.BytesIO()
    savemat(file, {"synsets": np.array(rows, dtype=kinds)})
    return file.getvalue()


META = meta_mat()


def tiny(name: str) -> Parser:
    others = {path.replace("/", "__"): content for path, content in TINY.items() if path != name}
    return Parser(f"Tiny ImageNet, {name}", text(TINY[name]), into(name, **others), read_tiny_imagenet)


def voc(name: str) -> Parser:
    sets = "VOC2012__ImageSets__Main__"
    files = {"train.txt": "a\nb\n", "cat_train.txt": "a  1\nb -1\n", "dog_train.txt": "a 0\nb  1\n"}
    others = {sets + path: content for path, content in files.items() if path != name}
    images = {f"VOC2012__JPEGImages__{image}.jpg": b"" for image in "ab"}
    write = into(f"{sets}{name}".replace("__", "/"), **others, **images)
    return Parser(f"VOC, {name}", text(files[name]), write, lambda folder: read_voc(folder, 2012, "train"))


def picture(kind: str) -> Parser:
    def seed() -> bytes:
        pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
        exif, file = Image.Exif(), io.BytesIO()
        exif[0x0112] = 6
        keeps_exif = kind in ("JPEG", "PNG", "WEBP", "TIFF")
        Image.fromarray(pixels).save(file, kind, **({"exif": exif} if keeps_exif else {}))
        return file.getvalue()

    def read(folder: Path) -> None:
        path = folder / "x"
        read_orientation(path)
        for upright in (False, True):
            decode_rgb(path.read_bytes(), path, upright)

    return Parser(f"images, {kind}", seed, into("x"), read)


LISTED = make_index(Path(), [(f"cat/{i}.jpg", 0) for i in range(5)], ["cat"])
VAL_INDEX = make_index(Path(), [(f"val/ILSVRC2012_val_{i:08d}.JPEG", 0) for i in range(5)], ["cat"])
VAL_NAMES = [line.partition("\t")[0] for line in VAL.splitlines()]
GUESSES = "1 0 0 9 9 2 1 1 8 8\n\n2 5 5 9 9\n"
TRUTH = "1 0 0 9 9\n2 1 1 8 8\n2 5 5 9 9 2 1 1 3 3\n"
SOLUTION = "ImageId,PredictionString\n" + "".join(
    f"{name.partition('.')[0]},n01 85 1 149 127 n01 2 3 9 9 \n" for name in VAL_NAMES
)
PARTS = "file,part,x,y,radius\na.jpg,left_eye,21.5,16,4\na.jpg,right_eye,31.5,16,4\na.jpg,nose,26,22,4\n"


def flat_labels(folder: Path) -> object:
    return read_flat_labels(folder, VAL_NAMES)


def of_file(read: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: read(folder / "x")


TRUTH_FILE = f"{DEVKIT}/ILSVRC2012_validation_ground_truth.txt"
BLACKLIST_FILE = "ILSVRC2014_devkit/data/ILSVRC2014_clsloc_validation_blacklist.txt"
META_FILE = f"{DEVKIT}/meta.mat".replace("/", "__")
PARSERS = [
    Parser("devkit, ground truth", text("1\n2\n1\n2\n"), into(TRUTH_FILE, **{META_FILE: META}), flat_labels),
    Parser("devkit, meta.mat", lambda: META, into(f"{DEVKIT}/meta.mat"), devkit_synsets, share=0.02),
    Parser("val_labels.txt", text(VAL), into("val_labels.txt"), flat_labels),
    Parser("LOC_val_solution.csv", text(SOLUTION), into("LOC_val_solution.csv"), flat_labels),
    Parser("blacklist of a devkit", text("2\n4\n"), into(BLACKLIST_FILE), lambda f: find_blacklist(f, VAL_INDEX)),
    Parser("blacklist, given", text("2\n4\n"), into("x"), of_file(read_blacklist)),
    Parser(
        "Caltech, listing",
        text("".join(f"101_ObjectCategories/{line}\n" for line in TREE.split())),
        as_tree,
        read_caltech,
    ),
    Parser("leave_out", text("# near\ncat/1.jpg\ncat/3.jpg\n"), into("x"), of_file(lambda file: without(LISTED, file))),
    *map(tiny, TINY),
    voc("train.txt"),
    voc("cat_train.txt"),
    Parser("words.txt", text(TINY["words.txt"]), into("x"), of_file(read_words)),
    Parser("boxes in XML", text(XML), into("x"), of_file(read_annotation)),
    Parser(
        "own folders",
        text(TREE + "Annotations/cat/cat_0.xml\ncat/cat_1.xml\n"),
        as_tree,
        lambda f: read_folder(f, 0.5, 0),
    ),
    Parser("photographs", text(TREE + "a.jpg\na.xml\n"), as_tree, lambda folder: read_photographs(folder, 0)),
    Parser("positions of parts", text(PARTS), into("x"), of_file(read_parts)),
    Parser("predictions", text(GUESSES), into("x", y=TRUTH), lambda f: score_file(f / "x", f / "y")),
    Parser("truth of predictions", text(TRUTH), into("x", y=GUESSES), lambda f: score_file(f / "y", f / "x")),
    *map(picture, ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "PPM", "JPEG2000")),
]


def attempt(parser: Parser, data: bytes, folder: Path) -> str:
    """How an input ends: read, refused, or the exception that nobody has foreseen."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    parser.write(folder, data)
    try:
        parser.read(folder)
        return "read"
    except UserError as error:
        return "refused" if str(error).count("\n") == 0 else f"a message of several lines: {error!r}"
    except Exception as error:
        return repr(error)


def input_of(parser: Parser, number: int) -> bytes:
    return mutated(parser.seed(), random.Random(f"{parser.name} {number}"))


@pytest.mark.parametrize("parser", [parser for parser in PARSERS if parser.share == 1], ids=lambda parser: parser.name)
def test_a_parser_reads_or_refuses_whatever_it_is_given(parser, tmp_path):
    assert attempt(parser, parser.seed(), tmp_path / "whole") == "read" or parser.seed() == TREE.encode()
    for number in range(SHORT):
        outcome = attempt(parser, input_of(parser, number), tmp_path / "input")
        assert outcome in ("read", "refused"), (parser.name, number)


# ---- make fuzz ----------------------------------------------------------------------------------------------
def run(parser: Parser, numbers: range, folder: Path) -> Counter[str]:
    """The outcomes of the inputs, each process of which a crash ends being followed by another."""
    outcomes: Counter[str] = Counter()
    log = folder / "log"
    log.write_text("")
    start = numbers.start
    while start < numbers.stop:
        child = os.fork()
        if not child:
            work(parser, range(start, numbers.stop), folder, log)
        _, status = os.waitpid(child, 0)
        lines = log.read_text().splitlines()
        start = numbers.start + len(lines)
        if status and start < numbers.stop:
            name = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {status}"
            with log.open("a") as file:
                file.write(f"{'hung' if name in ('SIGALRM', 'SIGPROF') else f'crashed, {name}'}\n")
            start += 1
    for number, line in zip(numbers, log.read_text().splitlines(), strict=True):
        kind = line if line in ("read", "refused", "hung") else "crashed"
        outcomes[kind] += 1
        if kind in ("crashed", "hung") and outcomes[kind] <= 5:
            print(f"    {parser.name}, input {number}: {line[:200]}", flush=True)
    return outcomes


def work(parser: Parser, numbers: range, folder: Path, log: Path) -> None:
    """Attempt the inputs in this process and end it; a hanging one is ended by its alarm."""
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with log.open("a", buffering=1) as file:
        for number in numbers:
            signal.setitimer(signal.ITIMER_PROF, PATIENCE)
            signal.setitimer(signal.ITIMER_REAL, 12 * PATIENCE)
            outcome = attempt(parser, input_of(parser, number), folder / "input")
            file.write(outcome.replace("\n", " ") + "\n")
    os._exit(0)


def main(count: int, only: str = "") -> int:
    print(f"{'parser':32}{'inputs':>8}{'read':>8}{'refused':>9}{'crashed':>9}{'hung':>6}{'s':>6}")
    failed = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        for parser in PARSERS:
            if only not in parser.name:
                continue
            started, n = time.monotonic(), max(1, round(count * parser.share))
            outcomes = run(parser, range(n), Path(folder))
            cells = [
                f"{outcomes[kind]:>{width}}"
                for kind, width in (("read", 8), ("refused", 9), ("crashed", 9), ("hung", 6))
            ]
            print(f"{parser.name:32}{n:>8}{''.join(cells)}{time.monotonic() - started:>6.0f}", flush=True)
            failed += outcomes["crashed"] + outcomes["hung"]
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, *sys.argv[2:3]))

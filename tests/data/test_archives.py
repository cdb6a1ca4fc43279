"""A made-up but complete ILSVRC archive set, with the odd files of the real one: check, unpack, cache, train."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zfnet.core.errors import UserError
from zfnet.data.__main__ import main
from zfnet.data.archives import unpack as module
from zfnet.data.archives.archives import ARCHIVES, Archive, places
from zfnet.data.archives.check import as_table, check_all
from zfnet.data.archives.unpack import UNPACKING, unpack_all
from zfnet.data.cache.images import build_cache
from zfnet.data.sources.imagenet import find_blacklist, read_imagenet

WNIDS = {"n01443537": "goldfish", "n01440764": "tench, Tinca tinca", "n01484850": "great white shark"}  # ILSVRC's order
N_TRAIN, N_VAL = 6, 9
XML = """<annotation><object><name>{0}</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>50</xmax><ymax>60</ymax></bndbox>
</object><object><name>{0}</name><bndbox><xmin>3</xmin><ymin>3</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>
</annotation>"""


def photograph(k: int, i: int) -> Image.Image:
    rng = np.random.default_rng([k, i])
    pixels = rng.integers(0, 120, (7, 9, 3))
    pixels[:, :: 2 + k, k] += 120
    return Image.fromarray(pixels.astype(np.uint8)).resize((90, 70 + i % 9), Image.BICUBIC)


def jpeg(k: int, i: int, mode: str = "RGB", kind: str = "JPEG", **options: object) -> bytes:
    data = io.BytesIO()
    photograph(k, i).convert(mode).save(data, kind, **options)
    return data.getvalue()


def tar_of(members: dict[str, bytes | None], mode: str = "w") -> bytes:
    """A tar of files; a member of None is a folder."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content or b"")
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            archive.addfile(info, io.BytesIO(content or b""))
    return data.getvalue()


def devkit() -> bytes:
    from scipy.io import savemat

    kinds = [("ILSVRC2012_ID", float), ("WNID", object), ("words", object), ("num_children", float)]
    rows = [(i, wnid, words, 0) for i, (wnid, words) in enumerate(WNIDS.items(), 1)] + [(4, "n01317541", "animal", 3)]
    meta = io.BytesIO()
    savemat(meta, {"synsets": np.array(rows, dtype=kinds)})
    top, truth = "ILSVRC2012_devkit_t12", "".join(f"{i % 3 + 1}\n" for i in range(N_VAL))
    return tar_of(
        {
            top: None,
            f"{top}/readme.txt": b"made up",
            f"{top}/data/meta.mat": meta.getvalue(),
            f"{top}/data/ILSVRC2012_validation_ground_truth.txt": truth.encode(),
            f"{top}/data/ILSVRC2014_clsloc_validation_blacklist.txt": b"2\n7\n",
        },
        "w:gz",
    )


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The five archives, as they would be downloaded."""
    folder, wnids = tmp_path_factory.mktemp("published"), list(WNIDS)
    images = {wnid: {f"{wnid}_{i}.JPEG": jpeg(k, i) for i in range(N_TRAIN)} for k, wnid in enumerate(wnids)}
    broken_exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff" + b"\xff" * 40
    images[wnids[0]][f"{wnids[0]}_0.JPEG"] = jpeg(0, 0, "CMYK")
    images[wnids[0]][f"{wnids[0]}_1.JPEG"] = jpeg(0, 1, "L")
    images[wnids[1]][f"{wnids[1]}_2.JPEG"] = jpeg(1, 2, kind="PNG")
    images[wnids[1]][f"{wnids[1]}_3.JPEG"] = jpeg(1, 3, exif=broken_exif)
    images[wnids[2]][f"{wnids[2]}_4.JPEG"] = jpeg(2, 4)[:900]  # truncated
    classes = {f"{wnid}.tar": tar_of(files) for wnid, files in images.items()}
    (folder / "ILSVRC2012_img_train.tar").write_bytes(tar_of(classes))
    val = {f"ILSVRC2012_val_{i:08d}.JPEG": jpeg((i - 1) % 3, 100 + i) for i in range(1, N_VAL + 1)}
    (folder / "ILSVRC2012_img_val.tar").write_bytes(tar_of(val))
    (folder / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(devkit())
    boxes = {f"{wnid}/{wnid}_{i}.xml": XML.format(wnid).encode() for wnid in wnids for i in (0, 2)}
    (folder / "ILSVRC2012_bbox_train_v2.tar.gz").write_bytes(tar_of(boxes, "w:gz"))
    boxes = {f"val/{name[:-5]}.xml": XML.format(wnids[i % 3]).encode() for i, name in enumerate(val)}
    (folder / "ILSVRC2012_bbox_val_v3.tgz").write_bytes(tar_of({"val": None, **boxes}, "w:gz"))
    return folder


@pytest.fixture
def archives(published: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "imagenet"
    folder.mkdir()
    for path in published.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def table_of(folder: Path) -> tuple[Archive, ...]:
    """The rows of the table with the sizes, sums and numbers of the made-up archives."""
    numbers = {"train": (3, 3 * N_TRAIN), "val": (0, N_VAL), "Annotations/val": (0, N_VAL)}
    rows = []
    for row in ARCHIVES:
        file = folder / row.file
        n_classes, n_images = numbers.get(row.into, (row.n_classes, 0))
        data = file.read_bytes() if file.exists() else b""
        sums = {"size": len(data), "md5": hashlib.md5(data).hexdigest() if data else ""}
        rows.append(replace(row, n_classes=n_classes, n_images=n_images, **sums))
    return tuple(rows)


def states(folder: Path, table: tuple[Archive, ...], with_md5: bool = False) -> dict[str, str]:
    return {line.what: line.state for line in check_all(folder, with_md5, table) if " in " in line.dataset}


def test_the_whole_way_from_archives_to_a_trained_network(archives, capsys, tmp_path):
    from zfnet.cli.run import run_config
    from zfnet.data.options import DataOptions
    from zfnet.experiments.table import Config
    from zfnet.networks.options import ModelOptions
    from zfnet.pipeline.options import PathsOptions, WandbOptions
    from zfnet.pipeline.record import read_result
    from zfnet.training.options import TrainOptions

    table = table_of(archives)
    assert set(states(archives.parent, table, with_md5=True).values()) == {"archive"}
    assert main(["unpack", str(archives.parent)]) == 0
    found = states(archives, table)
    assert found["train"] == found["val"] == found["Annotations/val"] == found["ILSVRC2012_devkit_t12"] == "unpacked"
    assert not (archives / UNPACKING).exists()

    data = DataOptions(source="imagenet", root=str(archives), size=64, bad_limit=1, cache="jpeg")
    recipe = TrainOptions(epochs=1, batch=8, divisor=64.0, precision="fp32", snapshots=[1])
    config = Config(data=data, model=ModelOptions(width=0.05, init="he"), train=recipe, stage="train", device="cpu")
    config.paths, config.wandb = PathsOptions(outputs=str(tmp_path / "outputs")), WandbOptions(mode="disabled")
    run_config(config)
    numbers = read_result(tmp_path / "outputs" / config.profile / "data")["numbers"]
    assert (numbers["n_train"], numbers["n_val"], numbers["n_unreadable"]) == (3 * N_TRAIN - 1, N_VAL, 1)
    assert numbers["classes"]["n01440764"] == "tench"
    trained = read_result(tmp_path / "outputs" / config.profile / "train")["numbers"]
    assert np.isfinite(trained["history"][0]["loss"])
    caches = tmp_path / "outputs" / config.profile / "data"
    assert main(["check", str(caches)]) == 0 and capsys.readouterr().out.count("  whole") == 2


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # of Pillow's own reading, with which ours is compared
def test_labels_boxes_and_odd_files_come_out_right(archives):
    unpack_all(archives)
    train, val = read_imagenet(archives)
    assert train.classes == tuple(sorted(WNIDS)) and train.names == ("tench", "goldfish", "great white shark")
    assert [val.classes[label] for label in val.labels] == [list(WNIDS)[i % 3] for i in range(N_VAL)]
    assert all(len(boxes) == 2 for boxes in val.boxes) and sum(len(boxes) > 0 for boxes in train.boxes) == 6
    with pytest.raises(UserError, match="n01484850_4.JPEG"):
        build_cache(train, archives / "cache", 64)
    for kind, tolerance in (("raw", 3), ("jpeg", 5)):
        images = build_cache(train, archives / "cache", 64, bad_limit=1, cache=kind)
        assert len(images) == 3 * N_TRAIN - 1
        for row, path in enumerate(images.index.paths):
            with Image.open(archives / str(path)) as image:
                small = image.convert("RGB").resize((max(64, round(64 * image.width / image.height)), 64), Image.BOX)
                left = (small.width - 64) // 2
                wanted = np.asarray(small.crop((left, 0, left + 64, 64))).astype(float)
            assert abs(np.asarray(images.pixels[row]).astype(float) - wanted).mean() < tolerance, path


def test_the_devkits_blacklist_is_found_where_it_names_an_image(archives):
    unpack_all(archives)
    _, val = read_imagenet(archives)
    assert find_blacklist(archives, val).name == "ILSVRC2014_clsloc_validation_blacklist.txt"
    assert find_blacklist(archives, val.take([0, 2])) is None
    assert find_blacklist(archives / "train", val) is None


@pytest.mark.parametrize("stop_after", [0, 4, 9, 20])
def test_an_interrupted_unpacking_goes_on(archives, monkeypatch, stop_after):
    written, write = [], module._write

    def stops(member, path, installed):
        if len(written) == stop_after:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(member.name)
        write(member, path, installed)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", stops)
        with pytest.raises(KeyboardInterrupt):
            unpack_all(archives)
    if (archives / "train").exists():  # whatever is there is whole
        assert all(len(list(folder.iterdir())) == N_TRAIN for folder in (archives / "train").iterdir())
        (archives / "val").mkdir(exist_ok=True)
        with pytest.raises(UserError, match="data-unpack"):
            read_imagenet(archives)
        (archives / "val").rmdir()
    unpack_all(archives)
    assert not (archives / UNPACKING).exists()
    assert len(list((archives / "train").rglob("*.JPEG"))) == 3 * N_TRAIN
    for i in (3, 4, 5):
        assert (archives / "train" / "n01443537" / f"n01443537_{i}.JPEG").read_bytes() == jpeg(0, i)
    assert set(states(archives, table_of(archives)).values()) == {"archive", "unpacked"}


def test_what_is_unpacked_is_not_unpacked_again(archives, monkeypatch):
    unpack_all(archives)
    monkeypatch.setattr(module, "_write", None)
    assert unpack_all(archives) == [archives / "train"]  # looked through for further classes


def link(name: str, target: str, kind: bytes) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        archive.addfile(info)
    return data.getvalue()


EVIL = {
    "up": tar_of({"val/../../../x.JPEG": b"1"}),
    "absolute": tar_of({"/tmp/x.JPEG": b"1"}),
    "symbolic": link("x.JPEG", "../../secret", tarfile.SYMTYPE),
    "absolute link": link("x.JPEG", "/etc/passwd", tarfile.SYMTYPE),
    "hard": link("x.JPEG", "../secret", tarfile.LNKTYPE),
}


@pytest.mark.parametrize("name", EVIL)
def test_a_member_that_leads_out_of_its_folder_is_refused_by_name(tmp_path, name):
    home = tmp_path / "home"
    home.mkdir()
    (home / "ILSVRC2012_img_val.tar").write_bytes(EVIL[name])
    with pytest.raises(UserError, match=r"x\.JPEG.* leads out of its folder"):
        unpack_all(home)
    (home / "ILSVRC2012_img_val.tar").unlink()
    (home / "ILSVRC2012_img_train.tar").write_bytes(tar_of({"n01440764.tar": EVIL[name]}))
    with pytest.raises(UserError, match=r"n01440764\.tar: member .*x\.JPEG"):
        unpack_all(home)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["ILSVRC2012_img_train.tar"]
    assert not (home / "train" / "n01440764").exists()


def test_a_zip_that_leads_out_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "tiny-imagenet-200.zip", "w") as archive:
        archive.writestr("tiny-imagenet-200/../../wnids.txt", "n01")
    with pytest.raises(UserError, match="leads out"):
        unpack_all(tmp_path)


def test_zips_and_archives_within_them_and_archives_that_share_a_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "tiny-imagenet-200.zip", "w") as archive:
        archive.writestr("tiny-imagenet-200/wnids.txt", "n01\n")
        archive.writestr("tiny-imagenet-200/val/images/val_0.JPEG", jpeg(0, 0))
    categories = {"101_ObjectCategories/ant/image_0001.jpg": jpeg(0, 1), "._ant": b"x"}
    (tmp_path / "caltech101").mkdir()
    with zipfile.ZipFile(tmp_path / "caltech101" / "caltech-101.zip", "w") as archive:
        archive.writestr("caltech-101/101_ObjectCategories.tar.gz", tar_of(categories, "w:gz"))
        archive.writestr("__MACOSX/._caltech-101", b"x")
    for split, file in (("trainval", "VOCtrainval_06-Nov-2007.tar"), ("test", "VOCtest_06-Nov-2007.tar")):
        top = "VOCdevkit/VOC2007"
        members = {f"{top}/ImageSets/Main/{split}.txt": split.encode(), f"{top}/JPEGImages/{split}.jpg": jpeg(0, 2)}
        (tmp_path / file).write_bytes(tar_of(members))
    unpack_all(tmp_path)
    assert (tmp_path / "tiny-imagenet-200" / "val" / "images" / "val_0.JPEG").read_bytes() == jpeg(0, 0)
    assert (tmp_path / "caltech101" / "101_ObjectCategories" / "ant" / "image_0001.jpg").exists()
    assert not list(tmp_path.rglob("._*")) and not (tmp_path / UNPACKING).exists()
    voc = tmp_path / "VOCdevkit" / "VOC2007"
    assert sorted(path.name for path in voc.rglob("*") if path.is_file()) == sorted(
        ["trainval.txt", "test.txt", "trainval.jpg", "test.jpg"]
    )
    found = {line.what: line for line in check_all(tmp_path, table=table_of(tmp_path))}
    assert found["VOCdevkit/VOC2007"].details.startswith("1 files")
    assert found["VOCtrainval_11-May-2012.tar"].state == "missing"


def test_damage_is_found_and_is_an_exit_code(archives, capsys):
    table = table_of(archives)
    with (archives / "ILSVRC2012_img_val.tar").open("ab") as file:
        file.write(b"more")
    assert states(archives, table)["ILSVRC2012_img_val.tar"] == "DAMAGED"
    data = bytearray((archives / "ILSVRC2012_img_train.tar").read_bytes())
    data[700] ^= 1
    (archives / "ILSVRC2012_img_train.tar").write_bytes(data)
    assert states(archives, table)["ILSVRC2012_img_train.tar"] == "archive"  # of the right size
    assert states(archives, table, with_md5=True)["ILSVRC2012_img_train.tar"] == "DAMAGED"
    assert main(["check", str(archives)]) == 1  # nor are these the sizes of the published archives
    said = capsys.readouterr()
    assert "147,897,477,120" in said.out and "ILSVRC2012_img_train.tar" in said.err


def test_an_empty_image_is_damage_and_a_part_of_a_set_is_not(archives):
    table = table_of(archives)
    unpack_all(archives)
    (archives / "val" / "ILSVRC2012_val_00000003.JPEG").unlink()
    found = {line.what: line for line in check_all(archives, table=table)}
    assert found["val"].state == "incomplete" and "files should be 9" in found["val"].details
    (archives / "train" / "n01440764" / "n01440764_0.JPEG").write_bytes(b"")
    found = {line.what: line for line in check_all(archives, table=table)}
    assert found["train"].state == "DAMAGED" and "n01440764_0.JPEG" in found["train"].details
    assert "ILSVRC-2012 in" in as_table(list(found.values()))


def test_a_truncated_archive_is_named_and_nothing_half_is_left_in_place(archives):
    os.truncate(archives / "ILSVRC2012_img_val.tar", 1000)
    with pytest.raises(UserError, match="ILSVRC2012_img_val.tar: damaged"):
        unpack_all(archives)
    assert not (archives / "val").exists() and len(list((archives / "train").iterdir())) == 3


def test_a_full_disk_is_noticed_before_unpacking(archives, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(UserError, match="GB free"):
        unpack_all(archives)


def test_what_a_file_system_leaves_in_its_root_is_no_place_for_archives(tmp_path):
    for name in ("lost+found", ".hidden", "caltech101"):
        (tmp_path / name).mkdir()
    assert places(tmp_path) == [tmp_path, tmp_path / "caltech101"]


def test_a_folder_that_is_not_there_or_holds_nothing(tmp_path, capsys):
    assert main(["check", str(tmp_path / "nowhere")]) == 2 and "no such folder" in capsys.readouterr().err
    assert main(["unpack", str(tmp_path)]) == 2 and "ILSVRC2012_img_train.tar" in capsys.readouterr().err
    assert main(["check", str(tmp_path)]) == 0 and capsys.readouterr().out.count("missing") == 7


def test_the_sums_are_those_of_torchvision():
    from importlib.util import find_spec

    folder = Path(str(find_spec("torchvision").origin)).parent / "datasets"
    said = "".join((folder / name).read_text() for name in ("imagenet.py", "caltech.py", "voc.py", "imagenette.py"))
    for row in ARCHIVES:
        if row.md5 and row.name != "tiny_imagenet":  # which torchvision lacks
            at = said.index(row.md5)
            assert row.file in said[max(0, at - 250) : at + 100], row.file
    assert sum(bool(row.md5) for row in ARCHIVES) == 10


@pytest.mark.parametrize("kind", ["tgz", "tar", "zip"])
def test_damage_anywhere_in_an_archive_is_noticed(tmp_path, kind):
    """A flipped bit at 40 places each, and 20 cuts: named, and nothing is left in place."""
    files = {f"VOC2012/JPEGImages/{i}.jpg": jpeg(0, i) for i in range(3)}
    files["VOC2012/ImageSets/Main/trainval.txt"] = b"0\n1\n2\n"
    content = tar_of(files, "w:gz" if kind == "tgz" else "w")
    if kind == "zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        content = packed.getvalue()
    sums = {"size": len(content), "md5": hashlib.md5(content).hexdigest()}
    (row,) = (replace(row, **sums) for row in ARCHIVES if row.file == "VOCtrainval_11-May-2012.tar")
    rng = np.random.default_rng(0)
    damaged = [content[:at] for at in rng.integers(1, len(content) - 600, 20)]
    for at in rng.integers(10, len(content), 40):
        damaged.append(content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :])
    silent = 0
    for number, data in enumerate(damaged):
        home = tmp_path / str(number)
        home.mkdir()
        (home / row.file).write_bytes(data)
        try:
            unpack_all(home, table=(row,))
            unpacked = {name: (row.place(home) / name[8:]).read_bytes() for name in files}
            silent += unpacked != files
        except (UserError, FileNotFoundError):
            assert kind != "tgz" or not row.place(home).exists()
    assert silent == 0


def test_a_bomb_a_duplicate_and_an_encrypted_zip_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SMALL", 2**14)
    home, name = tmp_path / "x", "tiny-imagenet-200.zip"
    home.mkdir()
    with zipfile.ZipFile(home / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny-imagenet-200/a.txt", bytes(module.GROWTH * module.SMALL + 1))
    with pytest.raises(UserError, match="which no dataset does"):
        unpack_all(home)
    with zipfile.ZipFile(home / name, "w") as archive:
        archive.writestr("tiny-imagenet-200/a.txt", b"1")
        archive.writestr("tiny-imagenet-200/A.TXT", b"2")
    with pytest.raises(UserError, match="two files called"):
        unpack_all(home)
    data = bytearray((home / name).read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + offset] |= 1  # the flag of encryption
    (home / name).write_bytes(data)
    with pytest.raises(UserError, match="encrypted"):
        unpack_all(home)
    assert not (home / "tiny-imagenet-200").exists()

from __future__ import annotations

import pytest

from zfnet.core.errors import UserError
from zfnet.data.sources.caltech import read_caltech


def plant(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.fixture
def caltech101(tmp_path):
    folder = tmp_path / "101_ObjectCategories"
    plant(folder, "car_side/image_0002.jpg", "car_side/image_0001.jpg", "BACKGROUND_Google/image_0001.jpg")
    plant(folder, "BACKGROUND_Google/tmp", "Faces/image_0001.jpg", "ant/image_0010.jpg", "ant/image_9.jpg")
    return tmp_path


@pytest.fixture
def caltech256(tmp_path):
    folder = tmp_path / "256_ObjectCategories"
    plant(folder, "002.american-flag/002_0001.jpg", "010.beer-mug/010_0001.jpg", "257.clutter/257_0001.jpg")
    plant(folder, "198.spider/198_0001.jpg", "198.spider/RENAME2", "056.dog/056_0001.jpg", "056.dog/greg/a.jpg")
    plant(folder, "251.airplanes-101/251_0001.jpg", "056.dog/._056_0001.jpg")
    return tmp_path


def test_caltech_101_is_read_in_natural_order_without_its_background(caltech101):
    index = read_caltech(caltech101)
    assert index.classes == ("ant", "car_side", "Faces")
    assert index.names == ("ant", "car side", "Faces")
    assert index.paths.tolist() == [
        "ant/image_9.jpg",
        "ant/image_0010.jpg",
        "car_side/image_0001.jpg",
        "car_side/image_0002.jpg",
        "Faces/image_0001.jpg",
    ]
    assert index.labels.tolist() == [0, 0, 1, 1, 2] and index.file(0).is_file()


def test_the_background_can_be_a_class(caltech101):
    index = read_caltech(caltech101, background=True)
    assert "BACKGROUND_Google" in index.classes and "background" in index.names


def test_the_folder_itself_and_the_official_zip_are_found_too(caltech101):
    whole = read_caltech(caltech101)
    assert read_caltech(caltech101 / "101_ObjectCategories").fingerprint() == whole.fingerprint()
    (caltech101 / "caltech-101").mkdir()
    (caltech101 / "101_ObjectCategories").rename(caltech101 / "caltech-101" / "101_ObjectCategories")
    assert read_caltech(caltech101).fingerprint() == whole.fingerprint()


def test_caltech_256_is_read_without_clutter_and_strays(caltech256):
    index = read_caltech(caltech256)
    assert index.names == ("american flag", "beer mug", "dog", "spider", "airplanes")
    assert len(index) == 5 and not any("greg" in path or "RENAME" in path for path in index.paths)


def test_a_missing_folder_is_named_with_its_source(tmp_path):
    with pytest.raises(UserError, match=r"101_ObjectCategories .*data\.caltech\.edu.* or 256_ObjectCategories"):
        read_caltech(tmp_path)


def test_an_archive_that_is_still_packed_is_named(tmp_path):
    plant(tmp_path, "101_ObjectCategories.tar.gz")
    with pytest.raises(UserError, match=r"101_ObjectCategories\.tar\.gz is still packed"):
        read_caltech(tmp_path)


def test_a_folder_without_images_is_an_error(tmp_path):
    (tmp_path / "101_ObjectCategories" / "ant").mkdir(parents=True)
    with pytest.raises(UserError, match="no class folders with JPEG images"):
        read_caltech(tmp_path)


@pytest.mark.parametrize("name", ["101_ObjectCategories", "256_ObjectCategories"])
def test_a_folder_that_lies_in_itself_is_read_as_well(tmp_path, name):
    plant(tmp_path / name / name, "001.ant/001_0001.jpg", "002.bee/002_0001.jpg")
    assert read_caltech(tmp_path).names == read_caltech(tmp_path / name).names == ("ant", "bee")


def test_the_set_that_is_asked_for_is_read_where_both_lie(caltech101, caltech256):
    assert caltech101 == caltech256
    assert "Faces" in read_caltech(caltech101, source="caltech101").classes
    assert "056.dog" in read_caltech(caltech101, source="caltech256").classes


def test_the_other_set_does_not_stand_in(caltech101):
    with pytest.raises(UserError, match=r"holds no 256_ObjectCategories \(256_ObjectCategories\.tar"):
        read_caltech(caltech101, source="caltech256")


def test_clutter_can_be_a_class(caltech256):
    assert "257.clutter" in read_caltech(caltech256, background=True).classes
    assert read_caltech(caltech256, background=True).names[-1] == "background"


def test_a_set_unpacked_beside_its_archive_is_found_from_the_folder_of_the_archive(caltech101):
    plant(caltech101, "caltech-101.zip")
    (caltech101 / "caltech101").mkdir()
    (caltech101 / "101_ObjectCategories").rename(caltech101 / "caltech101" / "101_ObjectCategories")
    assert read_caltech(caltech101, source="caltech101").classes == ("ant", "car_side", "Faces")


def test_the_archive_of_the_other_set_is_not_what_is_missing(tmp_path):
    plant(tmp_path, "caltech-101.zip")
    with pytest.raises(UserError, match=r"caltech-101\.zip is still packed: make data-unpack DATA="):
        read_caltech(tmp_path, source="caltech101")
    with pytest.raises(UserError, match=r"holds no 256_ObjectCategories \(256_ObjectCategories\.tar from"):
        read_caltech(tmp_path, source="caltech256")

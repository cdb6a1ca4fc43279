"""A profile that Hydra cannot read, or that grows without bounds where it is read, is refused in one line."""

import pytest

from zfnet.cli.main import main
from zfnet.cli.profile import check_profiles
from zfnet.core.errors import UserError
from zfnet.core.resources import profiles

HEAD = "# @package _global_\nprofile: mine\n"
LEVELS = [f"a{i}: &a{i} [{', '.join(9 * [f'*a{i - 1}'])}]\n" for i in range(1, 9)]
BOMB = "".join(["a0: &a0 [x, x, x, x, x, x, x, x, x]\n", *LEVELS])
TOO_LARGE = "holds at most 50,000 characters"
WRONG = {
    "an alias bomb": (HEAD + BOMB, TOO_LARGE),
    "a merge bomb": (HEAD + BOMB + "seed: {<<: {a: *a8}}\n", TOO_LARGE),
    "an alias within itself": (HEAD + "train: &a {epochs: *a}\n", TOO_LARGE),
    "a large file": (HEAD + f"image: {'x' * 60_000}\n", TOO_LARGE),
    "brackets without end": (HEAD + "image: " + 1000 * "[" + 1000 * "]", "nested too deeply"),
    "a syntax error": (HEAD + "train: {epochs: 3\n", "line 4: expected ',' or '}'"),
    "nothing": ("", "lines of the form `key: value`"),
    "a list": ("- seed\n", "lines of the form `key: value`"),
    "no UTF-8": ("image: é\n", "no UTF-8 or UTF-16 text"),
}


def write(folder, text):
    (folder / "profile").mkdir()
    (folder / "profile" / "mine.yaml").write_text(text, encoding="latin-1")
    return ["run", "stage=list", "profile=mine", "--config-dir", str(folder)]


@pytest.mark.parametrize("text, said", WRONG.values(), ids=list(WRONG))
def test_a_profile_that_cannot_be_read_is_refused(text, said, tmp_path):
    with pytest.raises(UserError, match="mine.yaml") as raised:
        check_profiles(write(tmp_path, text))
    assert said in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("text", [BOMB, "seed: 1\nseed: 2\n", "seed: !!python/object/apply:os.system ['true']\n"])
def test_the_command_says_so_in_one_line(text, tmp_path, capsys):
    assert main(write(tmp_path, HEAD + text)) == 2
    error = capsys.readouterr().err
    assert error.startswith("zfnet: ") and "profile" in error and error.count("\n") == 1


def test_small_aliases_and_all_own_profiles_are_taken(tmp_path):
    check_profiles(write(tmp_path, HEAD + "train: &a {epochs: 3}\nablations: *a\n"))
    check_profiles([f"profile={','.join(profiles())}"])

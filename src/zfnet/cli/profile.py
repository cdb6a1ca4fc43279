"""Profiles are checked before Hydra composes them: OmegaConf copies what an alias of YAML repeats, without a limit."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from zfnet.core.errors import UserError
from zfnet.core.resources import CONF
from zfnet.data.tables import read_text

LARGEST = 50_000  # characters and values of a profile
FOLDERS = ("--config-dir", "-cd", "--config-path", "-cp")  # options of Hydra that name further folders of profiles


def check_profiles(words: Sequence[str]) -> None:
    """Raise UserError for a profile, named in the words of a command, that is no YAML mapping or too large."""
    for file in _files(words):
        if file.is_file():
            _check(file)


def describe_yaml_error(error: yaml.YAMLError) -> str:
    """The problem that YAML's parser or constructor has, with its line, in one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())


def _files(words: Sequence[str]) -> Iterator[Path]:
    """Where the profiles that the words name may be."""
    folders = [CONF]
    for before, word in zip(["", *words], words, strict=False):
        option, _, value = word.partition("=")
        if before in FOLDERS or option in FOLDERS:
            folders.append(Path(word if before in FOLDERS else value))
    for word in words:
        key, _, value = word.partition("=")
        if key == "profile":
            yield from (folder / "profile" / f"{name.strip()}.yaml" for folder in folders for name in value.split(","))


def _check(file: Path) -> None:
    size: float = file.stat().st_size
    if size <= LARGEST:
        try:
            document = yaml.compose(read_text(file), yaml.SafeLoader)
        except yaml.YAMLError as error:
            raise UserError(f"{file}: not YAML ({describe_yaml_error(error)})") from error
        except RecursionError as error:
            raise UserError(f"{file}: nested too deeply for a profile") from error
        if not isinstance(document, yaml.MappingNode):
            raise UserError(f"{file}: a profile holds lines of the form `key: value`; see conf/profile/demo.yaml")
        size = _expanded_size(document, {})
    if size > LARGEST:
        raise UserError(f"{file}: a profile with its aliases expanded holds at most {LARGEST:,} characters")


def _expanded_size(node: yaml.Node, known: dict[int, float]) -> float:
    """Characters and values below a node, an alias as often as it occurs; infinite for one within itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            children = [child for pair in children for child in pair]
        own = len(node.value) if isinstance(node, yaml.ScalarNode) else 0
        known[id(node)] = 1 + own + sum(_expanded_size(child, known) for child in children)
    return known[id(node)]

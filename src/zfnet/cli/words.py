"""The words of the command line, prepared for Hydra's parser: order, short forms, renamed keys, quotes."""

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from zfnet.core import options
from zfnet.core.errors import UserError
from zfnet.core.resources import profiles
from zfnet.experiments.table import Config

# A key, or a group of keys, that has another name: what is typed -> what to type. The longest entry counts.
RENAMED = {
    "data.divisor": "train.divisor",
    "look": "explain",
    "look.network": "network",
    "look.weights": "network.weights",
    "occlusion.grey": "occlusion.gray",
    "transfer.network": "network",
    "transfer.weights": "network.weights",
}
RENAMED_STAGES = {"look": "explain"}
SHORT = {"network": "network.name"}  # groups that stand for one of their keys: network=alexnet
MULTIRUN = {"-m", "--multirun"}
WITH_VALUE = {  # options of Hydra that a value follows
    *("--cfg", "-c", "--package", "-p", "--info", "-i", "--shell-completion", "-sc", "--experimental-rerun"),
    *("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"),
}
PROCESSES = ("gpus=", "workers=", "nodes=", "rendezvous=", "device=", "shard=")
NO_NUMBERS = ("hydra", "wandb.", "paths.", "checkpoints.", *PROCESSES)


def prepare(words: Sequence[str]) -> list[str]:
    """The words as Hydra takes them.

    Raises UserError for a word that is no setting, a key with dashes or without a value, and a renamed key or stage.
    """
    keys = set(options.keys(Config))
    for before, word in zip(["", *words], words, strict=False):
        _check_dashes(word, keys)
        if not word.startswith("-") and before not in WITH_VALUE:
            _check_setting(word)
        _check_renamed(word, keys)
    return quote_texts([_expand(word, keys) for word in settings_last(words)])


def with_sweep_folder(words: Sequence[str]) -> list[str]:
    """The words of a sweep with a folder that stays, so that the same command resumes it: hydra.sweep.dir.

    Its name holds the keys that are swept and a hash of the settings that the numbers depend on.
    """
    if not MULTIRUN & set(words) or any(word.startswith("hydra.sweep.dir=") for word in words):
        return list(words)
    settings = sorted(word for word in words if "=" in word and not word.startswith(NO_NUMBERS))
    without_lists = {word: re.sub(r"\[[^]]*\]", "", word) for word in settings}
    swept = [word.partition("=")[0].rpartition(".")[2] for word in settings if "," in without_lists[word]]
    name = "-".join([*swept, hashlib.sha256("\n".join(settings).encode()).hexdigest()[:8]])
    return [*words, f"hydra.sweep.dir=${{paths.outputs}}/sweeps/{name}"]


def settings_last(words: Sequence[str]) -> list[str]:
    """The words with key=value last: Hydra takes no --multirun or --cfg after or between them."""
    return sorted(words, key=lambda word: "=" in word and not word.startswith("-"))


def quote_texts(words: Sequence[str]) -> list[str]:
    """The words with quotes around lists of stages, paths and other free texts.

    A bare comma means several runs to Hydra, and an apostrophe or a bracket is part of its grammar. Left as they are:
    values that are quoted already or refer to other keys (${...}), and in a sweep those that hold commas.
    """
    is_sweep = bool(MULTIRUN & set(words))
    text_keys = {"stage", *_text_keys(Config())}
    return [_quote(word, is_sweep) if word.partition("=")[0] in text_keys else word for word in words]


def current_name(key: str) -> str:
    """The name of a key that has been renamed, by itself or with its group; otherwise the key itself."""
    for old in sorted(RENAMED, key=len, reverse=True):
        if key == old or key.startswith(f"{old}."):
            return RENAMED[old] + key.removeprefix(old)
    return key


def _check_dashes(word: str, keys: set[str]) -> None:
    name = word.removeprefix("--").partition("=")[0]
    if word.startswith("--") and name in keys:
        raise UserError(f"{word}: settings have no dashes, they are given as key=value: {name}=...")


def _check_setting(word: str) -> None:
    key, equals, value = word.partition("=")
    if key.startswith("~"):
        raise UserError(f"{word}: keys cannot be left out; give {key[1:]}=value")
    if not equals or not key.strip("+ "):
        raise UserError(f"{word}: not a setting; settings are given as key=value, e.g. stage=train")
    if value.strip().lower() == "null":
        allowed = f"one of {', '.join(profiles())}" if key == "profile" else options.takes(Config, SHORT.get(key, key))
        raise UserError(f"{key}: null is not a value" + (f"; it takes {allowed}" if allowed else ""))


def _check_renamed(word: str, keys: set[str]) -> None:
    key, _, value = word.partition("=")
    key = key.lstrip("+~")
    if key not in keys and current_name(key) != key:
        raise UserError(f"{key}: this key is called {current_name(key)}, e.g. {current_name(key)}={value}")
    if key == "stage":
        for stage in re.split(r"[\s,'\"]+", value):
            if (new := RENAMED_STAGES.get(stage)) and new in keys:
                raise UserError(f"stage: {stage} is called {new}, e.g. stage={new}")


def _expand(word: str, keys: set[str]) -> str:
    """network=alexnet as network.name=alexnet, where the configuration has that key."""
    key, equals, value = word.partition("=")
    full = SHORT.get(key, "")
    return f"{full}={value}" if equals and full in keys else word


def _quote(word: str, is_sweep: bool) -> str:
    key, _, value = word.partition("=")
    is_plain = not re.search(r"[^\w./:%@+-]", value, re.ASCII)
    is_quoted = value[:1] + value[-1:] in ("''", '""')
    if is_plain or is_quoted or "${" in value or (is_sweep and "," in value):
        return word
    return f"{key}='{_escape(value)}'"


def _escape(text: str) -> str:
    """For Hydra's single quotes: a backslash before each apostrophe, and those before it or at the end doubled."""
    return re.sub(r"(\\*)('|$)", lambda match: 2 * match[1] + ("\\'" if match[2] else ""), text)


def _text_keys(config: Any, prefix: str = "") -> Iterator[str]:
    """The keys that take any text: paths, names and titles."""
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            yield from _text_keys(value, f"{prefix}{item.name}.")
        elif isinstance(value, str) and not item.metadata.get("options") and item.name != "profile":
            yield f"{prefix}{item.name}"

"""Typed options with the values they allow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import field
from typing import Any

from zfnet.core.errors import UserError


def number(
    default: Any,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    some: bool = False,
) -> Any:
    """A field whose value (or each element of whose list) must lie in the stated range; `some`: no empty list."""
    metadata = {"at_least": at_least, "at_most": at_most, "above": above, "some": some}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def choice(default: Any, *options: str, some: bool = False) -> Any:
    """A field whose value (or each element of whose list) is one of `options`; `some`: no empty list."""
    metadata = {"options": options, "some": some}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def check(config: Any, prefix: str = "") -> None:
    """Raise UserError for the first impossible value, naming its key and what is allowed."""
    for item, value, key in _fields(config, prefix):
        if dataclasses.is_dataclass(value):
            check(value, f"{key}.")
        if value == [] and item.metadata.get("some"):
            raise UserError(f"{key}: [] is empty; give at least one value")
        for element in value if isinstance(value, list) else [value]:
            _check_value(key, element, item.metadata)


def _fields(config: Any, prefix: str) -> Iterator[tuple[dataclasses.Field, Any, str]]:
    for item in dataclasses.fields(config):
        yield item, getattr(config, item.name), f"{prefix}{item.name}"


def _check_value(key: str, value: Any, allowed: Any) -> None:
    options = allowed.get("options")
    if options and value not in options:
        raise UserError(f"{key}: {value!r} is not one of {', '.join(options)}")
    bounds = [
        (allowed.get("at_least"), "at least", lambda bound: value >= bound),
        (allowed.get("at_most"), "at most", lambda bound: value <= bound),
        (allowed.get("above"), "above", lambda bound: value > bound),
    ]
    for bound, words, holds in bounds:
        if bound is not None and not holds(bound):
            raise UserError(f"{key}: {value} is not {words} {bound:g}")


def keys(config: Any, prefix: str = "") -> list[str]:
    """Every key of the schema, dotted."""
    found = []
    for item in dataclasses.fields(config):
        found.append(prefix + item.name)
        default = item.default_factory
        if dataclasses.is_dataclass(default):
            found += keys(default, f"{prefix}{item.name}.")
    return found

"""Typed options with the values they allow, and nested settings as one level of keys."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, get_args, get_origin, get_type_hints

from zfnet.core.errors import UserError

LARGEST = 2**31 - 1  # whole number, where a key states no limit
_KINDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def number(
    default: Any,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    nonempty: bool = False,
    distinct: bool = False,
) -> Any:
    """A field whose value, or each element of whose list, lies in the stated range; nonempty, distinct: of a list."""
    bounds = {"at_least": at_least, "at_most": at_most, "above": above}
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    return _make_field(default, given | {"nonempty": nonempty, "distinct": distinct})


def choice(default: Any, *options: str, nonempty: bool = False) -> Any:
    """A field whose value, or each element of whose list, is one of `options`; nonempty: of a list."""
    return _make_field(default, {"options": options, "nonempty": nonempty})


def _make_field(default: Any, metadata: dict[str, Any]) -> Any:
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def check(config: Any, prefix: str = "") -> None:
    """Raise UserError for the first impossible value, naming its key and what is allowed."""
    for item in dataclasses.fields(config):
        key, value = f"{prefix}{item.name}", getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            check(value, f"{key}.")
        if value == [] and item.metadata.get("nonempty"):
            raise UserError(f"{key}: [] is empty; give at least one value")
        if item.metadata.get("distinct") and len(set(value)) < len(value):
            raise UserError(f"{key}: {value} holds a value twice; give each once")
        for element in value if isinstance(value, list) else [value]:
            _check_value(key, element, item.metadata)


def _check_value(key: str, value: Any, allowed: Any) -> None:
    options = allowed.get("options")
    if options and value not in options:
        raise UserError(f"{key}: {value!r} is not one of {', '.join(options)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key}: {value} is not a finite number")
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    bounds = [
        (allowed.get("at_least"), "at least", lambda bound: value >= bound),
        (allowed.get("at_most", LARGEST if is_whole else None), "at most", lambda bound: value <= bound),
        (allowed.get("above"), "above", lambda bound: value > bound),
    ]
    for bound, words, holds in bounds:
        if bound is not None and not holds(bound):
            raise UserError(f"{key}: {value} is not {words} {bound:.10g}")


def takes(schema: type, key: str) -> str:
    """What a dotted key of the schema takes: "a whole number, at least 1"; "" for an unknown key."""
    first, _, rest = key.partition(".")
    types = get_type_hints(schema)
    items = {item.name: item for item in dataclasses.fields(schema)}
    if first not in items:
        return ""
    kind = types[first]
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        inner = ", ".join(item.name for item in dataclasses.fields(kind))
        return takes(kind, rest) if rest else f"its keys one by one ({inner})"
    return _describe(kind, items[first].metadata)


def _describe(kind: Any, allowed: Mapping[str, Any]) -> str:
    if get_origin(kind) is list:
        (element,) = get_args(kind)
        return f"a list, [...], of {_describe(element, allowed)} each"
    if options := allowed.get("options"):
        return f"one of {', '.join(options)}"
    names = (("above", "above"), ("at_least", "at least"), ("at_most", "at most"))
    bounds = [f"{words} {allowed[name]:.10g}" for name, words in names if allowed.get(name) is not None]
    return ", ".join([_KINDS.get(kind, "a value"), *bounds])


def keys(schema: type) -> list[str]:
    """Every key of a dataclass of options with its groups, dotted."""
    return [key for key, _ in flatten(dataclasses.asdict(schema()))]


def flatten(values: Mapping[Any, Any], separator: str = ".") -> Iterator[tuple[str, Any]]:
    """(key, value) of every entry of nested mappings, a mapping before its entries; keys are joined by `separator`."""
    for name, value in values.items():
        yield str(name), value
        if isinstance(value, Mapping):
            for key, entry in flatten(value, separator):
                yield f"{name}{separator}{key}", entry

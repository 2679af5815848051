"""Fields of a frozen dataclass set from a command line: texts become values of a field's type."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Settings = TypeVar("Settings")
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
SHOWN = 30  # names at most, where none is near: timm alone has over a thousand
WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}


def with_overrides(settings: Settings, overrides: Mapping[str, Any]) -> Settings:
    """A copy of a dataclass instance with some fields replaced; texts become the field's type.

    Raises:
        ValueError: no such field (the message names the nearest), or a value that it does not take.
    """
    kinds = get_type_hints(type(settings))
    known = [field.name for field in fields(settings)]
    values = {}
    for name, value in overrides.items():
        if name not in known:
            kind = type(settings).__name__
            raise ValueError(f"{kind} has no field {name!r}; {nearest(name, known)}")
        values[name] = convert(name, kinds[name], value)
    return replace(settings, **values)


def check_types(settings: Any) -> None:
    """Refuse with a ValueError a value that is not of its field's type, a text for a number too."""
    for name, kind in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if isinstance(value, str) and kind in (int, float, bool):
            raise ValueError(f"{name} is {WANTED[kind]}, not the text {value!r}")
        convert(name, kind, value)


def nearest(word: str, known: Iterable[str]) -> str:
    """ "did you mean …?", or some of what is known where nothing is near."""
    known = list(known)
    close = get_close_matches(word, known, n=3, cutoff=0.4)
    if close:
        return f"did you mean {' or '.join(close)}?"
    more = f" … ({len(known):,} in all)" if len(known) > SHOWN else ""
    return f"known: {', '.join(known[:SHOWN])}{more}"


def convert(name: str, kind: Any, value: Any) -> Any:
    """`value`, perhaps a text from a command line, as the type that a field is annotated with.

    Raises:
        ValueError: it is not of that type.
    """
    if get_origin(kind) in (Union, types.UnionType):
        return _convert_optional(name, kind, value)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            words = ", ".join(map(str, get_args(kind)))
            raise ValueError(f"{name} is one of {words}, not {value!r}")
        return value
    if get_origin(kind) is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            raise ValueError(f"{name} is several values, such as 1,1,2,1; not {value!r}")
        return tuple(convert(name, get_args(kind)[0], part) for part in parts)
    return _convert_plain(name, kind, value)


def _convert_optional(name: str, kind: Any, value: Any) -> Any:
    if value is None or (isinstance(value, str) and value.lower() == "none"):
        return None
    (inner,) = (part for part in get_args(kind) if part is not type(None))
    return convert(name, inner, value)


def _convert_plain(name: str, kind: type, value: Any) -> Any:
    try:
        if isinstance(value, str):
            return WORDS[value.strip().lower()] if kind is bool else kind(value.strip())
        if type(value) is kind or (kind is float and type(value) is int):
            return kind(value)
    except (ValueError, KeyError):
        pass
    raise ValueError(f"{name} is {WANTED[kind]}, not {value!r}")

"""What a record's fields may hold: values of their types, and text that is nothing but text.

Records come from strangers, and their texts reach pages, figures and terminals. Code that shows one
escapes it (`show.text`), so that there are two guards.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import re
import reprlib
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TextIO, get_args, get_type_hints

FORBIDDEN = frozenset('<>{}`|$"\\')  # what begins markup in a page, a table or a figure
LONGEST, LONGEST_MESSAGE = 300, 1000  # characters
# Letters, marks and a symbol that leave no ink, or only choose how the one before them is drawn.
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def check_fields(instance: Any) -> None:
    """Refuse a dataclass's instance whose fields are not of their types, or hold unsafe text.

    Raises:
        ValueError: the message names the field.
    """
    # mypy looks for the class's hash among its instances'.
    kinds_of_fields = _kinds(type(instance))  # type: ignore[arg-type]
    for name, kinds in kinds_of_fields.items():
        value = getattr(instance, name)
        # Python counts True as 1, and an int will do for a float.
        fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        if not fits and not (float in kinds and type(value) is int):
            words = " or ".join(KINDS.get(kind, "none") for kind in kinds)
            raise ValueError(f"{name} is {reprlib.repr(value)}: it must be {words}")
        if isinstance(value, str):
            check_text(name, value)
        elif isinstance(value, int | float) and not abs(value) < 1e30:
            raise ValueError(f"{name} is {reprlib.repr(value)}: it must be finite and sensible")


@functools.cache
def _kinds(record: type) -> dict[str, tuple[type, ...]]:
    """The types of the fields that hold no other dataclass: "int | None" is (int, NoneType)."""
    kinds = {name: get_args(hint) or (hint,) for name, hint in get_type_hints(record).items()}
    return {name: k for name, k in kinds.items() if not hasattr(k[0], "__dataclass_fields__")}


def check_text(field: str, text: str) -> None:
    """Refuse long text, and such as looks like another: with what cannot be seen, or begins markup.

    Raises:
        ValueError: the message names the field and the character.
    """
    longest = LONGEST_MESSAGE if field == "message" else LONGEST
    if len(text) > longest:
        raise ValueError(f"{field} has {len(text)} characters: at most {longest} are allowed")
    for character in text:
        if character in FORBIDDEN or not _is_seen(character):
            raise ValueError(f"{field} has a character that is not allowed: {ascii(character)}")
    if text != " ".join(text.split()):
        raise ValueError(f"{field} has spaces at an end, or two in a row")


def _is_seen(character: str) -> bool:
    return character.isprintable() and not INVISIBLE.match(character)


def clean(text: str, longest: int = LONGEST) -> str:
    """A text that `check_text` allows, for what others say: names of devices, messages of errors.

    White space becomes a space; what is not allowed becomes a look-alike, or "?".
    """
    plain = " ".join(text.split()).translate(str.maketrans('<>{}`"\\', "‹›()''/"))
    safe = "".join("?" if c in FORBIDDEN or not _is_seen(c) else c for c in plain)
    return safe if len(safe) <= longest else safe[: longest - 1].rstrip() + "…"


def printable(text: str) -> str:
    """A text in one line, where what cannot be seen, or steers a terminal, shows as "�".

    A no-break space stays: tables of ours hold lines together with it.
    """
    return "".join(map(_printable, text))


def for_terminal(text: object) -> str:
    """A text with each line `printable`: line breaks stay, no other control character does."""
    return "\n".join(map(printable, str(text).split("\n")))


def say(*texts: object, file: TextIO | None = None) -> None:
    """Print texts, each `for_terminal`, and flush. Programs print with this and nothing else.

    What the stream cannot write shows as "?". A reader that has gone, as in `… | head`, ends the
    output and not the program.
    """
    stream = sys.stdout if file is None else file
    encoding = getattr(stream, "encoding", None) or "utf-8"
    for text in texts:
        shown = for_terminal(text).encode(encoding, "replace").decode(encoding)
        try:
            print(shown, file=stream, flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def plural(count: int, noun: str) -> str:
    """ "1 seed", "2 seeds"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


class Parser(argparse.ArgumentParser):
    """A parser whose texts are said by `say`: an argument may name a stranger's file.

    An empty value is refused, for every option: it is a variable of the shell that was never set.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        for before, word in zip(["", *words], words, strict=False):
            option, equals, value = word.partition("=")
            if not word or (equals and not value and option.startswith("--")):
                name = option or before or "an argument"
                self.error(f"{name}: the value is empty; is a variable of the shell not set?")
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        super().error(for_terminal(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:
            say(message.removesuffix("\n"), file=file or sys.stderr)


def number(
    kind: type[int] | type[float] = int, least: float = 0, most: float = 2**63 - 1
) -> Callable[[str], Any]:
    """The type of an option that is a whole number, or any, within bounds; for argparse."""

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:  # NaN is not, either
            bounds = f"{least:g} or more" if most >= 2**62 else f"from {least:g} to {most:g}"
            word = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"it is {text!r} and must be {word}, {bounds}")
        return value

    return convert


def _printable(c: str) -> str:
    if _is_seen(c) or c == "\N{NO-BREAK SPACE}":
        return c
    return " " if c.isspace() else "\N{REPLACEMENT CHARACTER}"

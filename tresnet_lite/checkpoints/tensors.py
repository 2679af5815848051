"""A checkpoint's file as plain tensors, which take no more memory than the file is long.

``torch.load(weights_only=True)`` runs no code, but creates what the file asks for: a tensor of any
shape, or a gigabyte from a megabyte of compressed zeros. So the sizes are read first.
"""

import argparse
import io
import math
import os
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, ClassVar

import torch

# What lies in a checkpoint's place when something went wrong on its way: how it begins, what it is.
PAGE = re.compile(rb"\s*<(!doctype|html|head|body|\?xml)", re.IGNORECASE)
STRANGERS = {
    re.compile(rb"$"): "it is empty: copy or download it again",
    re.compile(rb"version https://git-lfs"): (
        "it is a Git LFS pointer, not the weights: `git lfs pull` in its checkout fetches them"
    ),
    PAGE: "it is a web page, not weights: download the file itself",
    re.compile(rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!"): "it is compressed: unpack it first",
}
SHARED = 4  # views of the same bytes: a run's checkpoint has two, and networks tie weights
ITEM_SIZES = {  # bytes of an element
    **dict.fromkeys(("BoolStorage", "ByteStorage", "CharStorage"), 1),
    **dict.fromkeys(("ShortStorage", "HalfStorage", "BFloat16Storage"), 2),
    **dict.fromkeys(("IntStorage", "FloatStorage"), 4),
    **dict.fromkeys(("LongStorage", "DoubleStorage", "ComplexFloatStorage"), 8),
    "ComplexDoubleStorage": 16,
}
# What weights are of: in other types, torch has no arithmetic, or loads less than it is given.
NUMBERS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
NUMBERS |= {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
DIMENSIONS = 8  # at most
END, END64, LOCATOR = 22, 56, 20  # bytes of a zip archive's last entries
LARGEST_PICKLE = 4 << 20  # bytes; a byte of it can become a hundred in memory
# The steps of a pickle that torch's own reader knows, but for sets: no number of over 255 bytes,
# whose product would take hours.
STEPS: dict[int, Callable[[Any], None]] = {
    code: pickle._Unpickler.dispatch[code]
    for code in b"\x80.(cR\x81batsue)]}\x85\x86\x87N\x88\x89JKMG\x8aXUQhjqr"
}
SETITEM, SETITEMS = pickle.SETITEM[0], pickle.SETITEMS[0]


class UnsafeCheckpoint(ValueError):
    """A file that holds, or asks for, something else than plain tensors."""


def read_tensors(
    path: Path, device: str | torch.device = "cpu", name: str | None = None
) -> Mapping[str, Any]:
    """What a ``.safetensors`` file or a file of ``torch.save`` holds, whichever its name says.

    Args:
        name: of the file in errors; None for its path.

    Raises:
        ValueError: it is not a checkpoint of plain tensors; the message is one line.
    """
    name = name or str(path)
    with path.open("rb") as file:
        try:
            checkpoint = _read(file, path, device)
        except ImportError:
            raise
        except Exception as error:  # the libraries raise many kinds
            why = f"{name} cannot be read as a checkpoint of plain tensors"
            raise ValueError(f"{why}: {_first_line(error)}") from error
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"{name} holds a {type(checkpoint).__name__}, not a state dict")
    return checkpoint


def holds_numbers(value: Any) -> bool:
    """Is it a tensor that can be a network's, of real numbers and a sensible shape?"""
    dense = isinstance(value, torch.Tensor) and value.layout == torch.strided
    return dense and value.dtype in NUMBERS and value.dim() <= DIMENSIONS


def _read(file: IO[bytes], path: Path, device: str | torch.device) -> Any:
    head = file.read(512)
    for beginning, what in STRANGERS.items():
        if beginning.match(head):
            raise UnsafeCheckpoint(what)
    by_torch = head.startswith((b"PK", b"\x80"))  # as an archive or, before 1.6, as a pickle
    # its length, 8 bytes, then a JSON object
    if head[8:9] == b"{" or (path.suffix == ".safetensors" and not by_torch):
        return _read_safetensors(path, device)
    file.seek(0)
    refuse_excess(file)
    file.seek(0)
    with torch.serialization.safe_globals([argparse.Namespace]):  # a class without code
        return torch.load(file, map_location=device, weights_only=True)


def _read_safetensors(path: Path, device: str | torch.device) -> Any:
    """The tensors of a format whose reader compares the sizes itself."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ImportError(f"{path} needs safetensors: pip install safetensors") from error
    try:
        return load_file(path, device=str(device))
    except SafetensorError as error:
        why = f"it is cut short, or no .safetensors ({_first_line(error)})"
        raise UnsafeCheckpoint(f"{why}: copy or download it again") from error


def _first_line(error: Exception) -> str:
    if not str(error).strip():
        return type(error).__name__
    return ascii(str(error).strip().splitlines()[0][:300])[1:-1]


def refuse_excess(file: IO[bytes]) -> None:
    """Read a checkpoint's sizes, creating no tensor.

    Raises:
        UnsafeCheckpoint: it holds other objects than tensors, dicts, lists, numbers and texts, or
            its tensors would take more memory than the file.
    """
    length = os.fstat(file.fileno()).st_size
    try:
        if file.read(4) == b"PK\3\4":  # as torch.save has written since 1.6
            sizes = _Sizes(_pickle_of_archive(file, length))
            sizes.load()
        else:  # a magic number, the version, the system, the checkpoint, its storages' names
            file.seek(0)
            sizes = _Sizes(file.read(LARGEST_PICKLE))
            for _ in range(5):
                sizes.load()
    except UnsafeCheckpoint:
        raise
    except Exception as error:  # bytes that are no pickle raise anything
        raise UnsafeCheckpoint("torch.save did not write it, or it is cut short") from error
    asked = max(sum(sizes.storages.values()), sizes.viewed // SHARED)
    if asked > length:
        raise UnsafeCheckpoint(f"it asks for {asked:,} bytes of tensors and has {length:,}")


def _pickle_of_archive(file: IO[bytes], length: int) -> bytes:
    """The pickle in a zip archive; what is compressed, or could be read in two ways, is refused."""
    if not _has_one_directory(file, length):
        cut = "it is cut short, or something follows it"
        raise UnsafeCheckpoint(f"it does not end as an archive of torch.save does: {cut}")
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        pickles = [info for info in members if info.filename.lower().endswith("/data.pkl")]
        if not pickles:
            names = ", ".join(ascii(info.filename[:80]) for info in members[:3])
            raise UnsafeCheckpoint(f"it is a zip archive of {names}: unpack it, give the file")
        stored = all(info.compress_type == zipfile.ZIP_STORED for info in members)
        # A member may have two names; readers differ in which one they take.
        plain = all(info.filename == info.orig_filename for info in members) and len(pickles) == 1
        if not stored or sum(info.file_size for info in members) > length or not plain:
            raise UnsafeCheckpoint("it would become larger when unpacked, or hides a member")
        if pickles[0].file_size > LARGEST_PICKLE:
            raise UnsafeCheckpoint(f"its pickle is larger than {LARGEST_PICKLE >> 20} MiB")
        return archive.read(pickles[0])


def _has_one_directory(file: IO[bytes], length: int) -> bool:
    """Does the archive's last entry point at a directory just before it, with nothing in between?

    Python's reader and torch's find the same members then; else one could be shown a harmless file
    and the other one a hostile one.
    """
    file.seek(max(0, length - END - LOCATOR - END64))
    tail = file.read()
    end, locator, end64 = tail[-END:], tail[-END - LOCATOR : -END], tail[: -END - LOCATOR]
    if end[:4] != b"PK\5\6" or end[-2:] != b"\0\0":
        return False
    if locator[:4] != b"PK\6\7":
        size, start = struct.unpack("<II", end[12:20])
        return bool(start + size == length - END)
    (where,) = struct.unpack("<Q", locator[8:16])
    size, start = struct.unpack("<QQ", end64[40:56])
    whole = end64[:4] == b"PK\6\6" and where == start + size
    return bool(whole and where == length - END - LOCATOR - END64)


class _Dict(OrderedDict[Any, Any]):
    """An OrderedDict whose methods stay its own."""

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        if set(state) != {"_metadata"}:  # which a state dict has
            raise UnsafeCheckpoint("it changes a dict's attributes")


class _Namespace:
    """In the place of an argparse.Namespace, such as timm's arguments, which nothing here reads."""

    def __setstate__(self, _: Any) -> None:
        """Take up no attribute."""


class _Sizes(pickle._Unpickler):
    """Reads a pickle, and instead of its tensors the bytes that they need.

    It is Python's own implementation, because the faster one in C reserves as much memory as the
    file asks for.

    Args:
        content: one pickle, or several that follow each other.

    Attributes:
        storages: bytes of each storage.
        viewed: bytes of all tensors together; several may share a storage.
        room: how many more items may be copied; an honest pickle has a byte or more for each.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8")
        self.storages: dict[str, int] = {}
        self.viewed = 0
        self.room = len(content)
        self.known: dict[str, Any] = {
            "collections.OrderedDict": lambda items=(): self._copied(_Dict, items),
            "collections.Counter": lambda items=(): self._copied(dict, items),
            "argparse.Namespace": _Namespace,
            "torch.Size": lambda items=(): self._copied(tuple, items),
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
        }

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" in self.known:
            return self.known[f"{module}.{name}"]
        if module in ("torch", "torch.cuda") and name in ITEM_SIZES:
            return ITEM_SIZES[name]
        what = f"it holds {ascii(f'{module}.{name}'[:80])}, not only tensors"
        raise UnsafeCheckpoint(f"{what}: its author can save the state dict alone")

    def persistent_load(self, pid: Any) -> tuple[int, int]:
        """(bytes of an element, elements) of a storage."""
        what, itemsize, key, _, elements, *view = pid
        named = what == "storage" and isinstance(key, str) and view in ([], [None])
        if not named or not _are_counts(itemsize, elements):
            raise UnsafeCheckpoint("it has a storage of an unknown kind")
        self.storages[key] = max(self.storages.get(key, 0), itemsize * elements)
        return itemsize, elements

    def _set_item(self) -> None:
        _refuse_nested(self.stack[-2:-1])
        STEPS[SETITEM](self)

    def _set_items(self) -> None:
        _refuse_nested(self.stack[::2])
        STEPS[SETITEMS](self)

    stack: list[Any]
    dispatch: ClassVar[Any] = STEPS | {SETITEM: _set_item, SETITEMS: _set_items}

    def _copied(self, kind: Callable[[Any], Any], items: Any) -> Any:
        """A dict or tuple of items, as long as the same ones are not copied again and again."""
        self.room -= len(items)
        if self.room < 0:
            raise UnsafeCheckpoint("it copies more than it holds")
        if kind is not tuple and not isinstance(items, Mapping):
            _refuse_nested(key for key, _ in items)
        return kind(items)

    def _tensor(self, storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> None:
        itemsize, room = storage
        if not _are_counts(offset, *size, *stride) or len(size) > 64:
            raise UnsafeCheckpoint("it has a tensor of an impossible shape")
        elements = math.prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if elements > room or (elements and last >= room):
            shape = str(tuple(size))[:80]
            raise UnsafeCheckpoint(f"it has {room:,} numbers for a tensor of shape {shape}")
        self.viewed += itemsize * elements


def _refuse_nested(keys: Iterable[Any]) -> None:
    """Refuse a dict's keys that are tuples: of nested ones, a hash may take years."""
    if any(isinstance(key, tuple) for key in keys):
        raise UnsafeCheckpoint("it has a dict with a tuple as a key")


def _are_counts(*values: Any) -> bool:
    return all(type(value) is int and value >= 0 for value in values)

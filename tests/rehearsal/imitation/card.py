"""The imitated GPU's facts, and the memory that its tensors take. Needs no torch."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

VARIABLE = "REHEARSAL"  # environment: the card, as JSON
PREFIX = "Rehearsal of "  # begins the device's name in every record
UUID = "11111111-2222-3333-4444-555555555555"
GIB = 2**30
PIECE = 512  # bytes; torch's allocator gives multiples of it


@dataclass(frozen=True)
class Card:
    """The GPU to imitate.

    Attributes:
        name: as nvidia-smi prints it.
        capability: "7.0" of a V100, "9.0" of an H200. Below 7.0 torch has no code for the card.
        gib: the memory, in GiB.
        taken: GiB of it that another process holds.
        smi: how nvidia-smi answers: "ok", "na" ([N/A] for most), "error" (ERR!), "throttled",
            "mig" (the device is not found) or "missing" (there is no nvidia-smi).
        words: "torch" or "cudnn": in whose words a convolution runs out of memory.
        profile: "small" runs the GPU profile with the smoke profile's sizes, "full" as it is.
    """

    name: str = "Tesla V100-SXM2-16GB"
    capability: str = "7.0"
    gib: float = 15.8
    taken: float = 0.0
    smi: str = "ok"
    words: str = "torch"
    profile: str = "small"

    @classmethod
    def of_environment(cls) -> Card | None:
        """The card that this process was started with; None outside a rehearsal."""
        text = os.environ.get(VARIABLE)
        return cls(**json.loads(text)) if text else None

    def to_environment(self) -> str:
        return json.dumps(asdict(self))

    @property
    def major_minor(self) -> tuple[int, int]:
        major, minor = self.capability.split(".")
        return int(major), int(minor)

    @property
    def visible(self) -> bool:
        """Does CUDA_VISIBLE_DEVICES, by number or identifier, leave the card visible?"""
        names = os.environ.get("CUDA_VISIBLE_DEVICES")
        return names is None or names.split(",")[0] in ("0", f"GPU-{UUID}")


class OutOfMemory(Exception):
    """An allocation that does not fit; `sizes` are bytes asked for, of the card, and free."""

    def __init__(self, *sizes: int) -> None:
        asked, total, free = (f"{size / GIB:.2f} GiB" for size in sizes)
        super().__init__(
            f"CUDA out of memory. Tried to allocate {asked}. "
            f"GPU 0 has a total capacity of {total} of which {free} is free."
        )


class Memory:
    """Bytes that lie on the card: each storage counts once, however many tensors look at it."""

    def __init__(self, card: Card) -> None:
        self.total = int(card.gib * GIB)
        self.free_at_start = self.total - int(card.taken * GIB)
        self.limit = self.free_at_start
        self.now = self.peak = 0
        self._held: dict[int, list[int]] = {}  # storage → [its tensors, its bytes]

    def limit_to(self, share: float) -> None:
        """Let this process have a share of the whole memory, as far as that is free."""
        self.limit = min(int(share * self.total), self.free_at_start)

    def take(self, storage: int, size: int) -> None:
        """Note one more tensor of a storage. Raises OutOfMemory."""
        if storage not in self._held:
            size = -(-size // PIECE) * PIECE
            if self.now + size > self.limit:
                raise OutOfMemory(size, self.total, self.limit - self.now)
            self._held[storage] = [0, size]
            self.now += size
            self.peak = max(self.peak, self.now)
        self._held[storage][0] += 1

    def drop(self, storage: int) -> None:
        """Note one tensor less."""
        self._held[storage][0] -= 1
        if not self._held[storage][0]:
            self.now -= self._held.pop(storage)[1]

    def reset_peak(self) -> None:
        self.peak = self.now

"""The search for the largest batch that training has memory for (Table 3).

Strides double until a batch does not fit, then the gap is halved. A batch fits when steps run
through, and does not when the device runs out of memory; any other error ends the search.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass

import torch

# What PyTorch says when an allocation fails outside its own allocator, which has an error for it.
_ALLOCATION_FAILED = (
    "CUDA error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "HIP out of memory",
)


# What cuDNN says where no algorithm is left that has the memory it needs: an error in the network
# too, in a search for the largest batch a batch that is too large.
_NO_ENGINE = "unable to find an engine to execute this computation"


@dataclass(frozen=True)
class Largest:
    """`batch` fits and `too_large` does not; None where `limit` was reached."""

    batch: int
    too_large: int | None


def largest_batch(
    fits: Callable[[int], bool],
    *,
    guess: int = 1,
    precision: float = 0.0,
    limit: int = 2**31,
    confirm: Callable[[int], bool] | None = None,
) -> Largest:
    """The largest batch that fits, where all batches up to it fit and none above.

    Args:
        fits: batch → does it fit?
        guess: where the search starts. A good one spares steps; the answer is the same.
        precision: stop once the gap to a batch that does not fit is this share of the answer; 0:
            exact.
        limit: try nothing larger.
        confirm: a stricter `fits` for the answer, several steps for instance; it decides below the
            batch that it refuses.

    Raises:
        torch.OutOfMemoryError: not even one image fits.
    """
    if guess < 1 or limit < 1 or precision < 0:
        why = "guess and limit must be 1 or more, precision not negative"
        raise ValueError(f"{why}: {guess}, {limit}, {precision}")
    low, high = _bisect(fits, *_bracket(fits, min(guess, limit), precision, limit), precision)
    if low > 1 and confirm and not confirm(low):
        start = max(1, low - _gap(low, precision))
        below = largest_batch(confirm, guess=start, precision=precision, limit=low - 1)
        return Largest(below.batch, below.too_large or low)
    if low == 0 or (low == 1 and confirm and not confirm(1)):
        raise torch.OutOfMemoryError("not even a batch of one image fits")
    return Largest(low, high if high <= limit else None)


def _bracket(
    fits: Callable[[int], bool], start: int, precision: float, limit: int
) -> tuple[int, int]:
    """(fits, does not fit) around `start`, by doubling strides; (limit, limit + 1) if all fit."""
    stride = _gap(start, precision)
    if fits(start):
        low = start
        while low < limit:
            candidate = min(low + stride, limit)
            if not fits(candidate):
                return low, candidate
            low, stride = candidate, 2 * stride
        return limit, limit + 1
    high = start
    while high > 1:
        candidate = max(high - stride, 1)
        if fits(candidate):
            return candidate, high
        high, stride = candidate, 2 * stride
    return 0, 1


def _bisect(fits: Callable[[int], bool], low: int, high: int, precision: float) -> tuple[int, int]:
    while high - low > _gap(low, precision):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low, high


def _gap(batch: int, precision: float) -> int:
    return max(1, int(precision * batch))


def ran_out_of_memory(error: BaseException) -> bool:
    """Does an exception say that the device has no memory left, and nothing else?"""
    failed = any(words in str(error) for words in _ALLOCATION_FAILED)
    return isinstance(error, torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and failed)


def runs_in_memory(run: Callable[[], object]) -> bool:
    """Run something; False where the device runs out of memory, in torch's words or in cuDNN's.

    Other errors are passed on.
    """
    try:
        run()
        return True
    except RuntimeError as error:
        if not (ran_out_of_memory(error) or _NO_ENGINE in str(error)):
            raise
    finally:
        # The traceback, which held the failed step's tensors, is gone or about to be. The cache is
        # returned, so that the pieces one batch left do not stand in the way of the next.
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
    return False

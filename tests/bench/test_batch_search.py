"""The largest batch, against models of memory whose answer is known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tresnet_lite.bench.batch_search import (
    Largest,
    largest_batch,
    ran_out_of_memory,
    runs_in_memory,
)


class Memory:
    """A device that holds `base` and `per_image` bytes of training, out of `size`, and counts the
    tries.
    """

    def __init__(self, size: int, base: int, per_image: int) -> None:
        self.size, self.base, self.per_image, self.tried = size, base, per_image, []

    def fits(self, batch: int) -> bool:
        self.tried.append(batch)
        return self.base + batch * self.per_image <= self.size

    @property
    def largest(self) -> int:
        return (self.size - self.base) // self.per_image


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 10**4), st.integers(1, 2000))
def test_n_fits_and_the_next_does_not(n, base, per_image, guess):
    memory = Memory(base + n * per_image + (per_image - 1), base, per_image)
    found = largest_batch(memory.fits, guess=guess)
    assert memory.largest == n
    assert found == Largest(batch=n, too_large=n + 1)
    assert {n, n + 1} <= set(memory.tried)  # both were seen, neither was inferred
    # Strides double towards the answer and the last one is halved: twice the logarithm of the way,
    # and a little.
    assert len(memory.tried) <= 2 * math.log2(abs(n - guess) + 2) + 3


@given(st.integers(1, 10**5), st.integers(1, 10**5), st.sampled_from([0.01, 0.05, 0.3]))
def test_the_gap_that_is_left_is_as_small_as_asked(n, guess, precision):
    found = largest_batch(lambda batch: batch <= n, guess=guess, precision=precision)
    assert found.batch <= n < found.too_large
    assert found.too_large - found.batch <= max(1, precision * found.batch)


@given(st.integers(1, 1000), st.integers(1, 1000), st.integers(1, 2000))
def test_nothing_above_the_limit_is_tried(n, limit, guess):
    memory = Memory(n, 0, 1)
    found = largest_batch(memory.fits, guess=guess, limit=limit)
    assert max(memory.tried) <= limit
    assert found == (Largest(n, n + 1) if n < limit else Largest(limit, None))


@given(st.integers(1, 300), st.integers(0, 60), st.integers(1, 400))
def test_the_answer_survives_the_stricter_try(n, less, guess):
    """Some batches survive two steps but not four."""
    strict = Memory(max(1, n - less), 0, 1)
    found = largest_batch(lambda batch: batch <= n, guess=guess, confirm=strict.fits)
    assert found.batch == strict.size and found.too_large == strict.size + 1


def test_where_nothing_fits_it_says_so():
    with pytest.raises(torch.OutOfMemoryError, match="not even a batch of one"):
        largest_batch(lambda batch: False, guess=64)
    with pytest.raises(torch.OutOfMemoryError, match="not even a batch of one"):
        largest_batch(lambda batch: batch <= 1, confirm=lambda batch: False)


def test_any_other_error_ends_the_search():
    def fits(batch: int) -> bool:
        if batch > 8:
            raise RuntimeError("an operator is not there")
        return True

    with pytest.raises(RuntimeError, match="an operator is not there"):
        largest_batch(fits)


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (
            RuntimeError(
                "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
            ),
            True,
        ),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("Expected canUse32BitIndexMath(input) to be true"), False),
        (MemoryError(), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
)
def test_only_a_full_device_counts_as_out_of_memory(error, memory):
    assert ran_out_of_memory(error) == memory

    def step() -> None:
        raise error

    if memory:
        assert runs_in_memory(step) is False
    else:
        with pytest.raises(type(error)):
            runs_in_memory(step)
    assert runs_in_memory(lambda: None) is True


@pytest.mark.parametrize("wrong", [{"guess": 0}, {"limit": 0}, {"precision": -0.1}])
def test_a_search_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="must be 1 or more"):
        largest_batch(lambda batch: True, **wrong)

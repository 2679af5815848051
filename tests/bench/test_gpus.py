"""Which GPUs a campaign takes of those that a cluster allotted."""

import pytest

from tresnet_lite.bench.campaign import find_slots
from tresnet_lite.bench.gpus import VISIBLE, allotted


@pytest.mark.parametrize(
    ("listed", "gpus", "names"),
    [
        (None, ["0", "3"], ["0", "3"]),
        (None, [" 1", "01"], "names GPU 1 twice"),
        (None, ["0", "0"], "names GPU 0 twice"),
        ("3", ["0"], ["3"]),
        ("3", ["3"], "GPU 3 is not among those allotted here: .* lists 1 GPU"),
        ("5,2", ["1", "0"], ["2", "5"]),
        ("GPU-aaaa,GPU-bbbb", ["0", "1"], ["GPU-aaaa", "GPU-bbbb"]),
        ("GPU-aaaa,GPU-bbbb", ["GPU-bbbb"], ["GPU-bbbb"]),
        ("GPU-aaaa,GPU-bbbb", ["0", "GPU-aaaa"], "names GPU GPU-aaaa twice"),
        ("GPU-aaaa", ["GPU-cccc"], "GPU GPU-cccc is not among those allotted"),
        ("MIG-1111", ["0"], ["MIG-1111"]),
        (None, [""], "--gpus has ''"),
        (None, ["0-3"], "--gpus has '0-3': give numbers"),
        (None, ["-1"], "--gpus has '-1': give numbers"),
        (None, ["all"], "--gpus has 'all': give numbers"),
        (None, [], []),
    ],
)
def test_numbers_count_among_what_is_allotted(monkeypatch, listed, gpus, names):
    monkeypatch.delenv(VISIBLE, raising=False)
    if listed:
        monkeypatch.setenv(VISIBLE, listed)
    if isinstance(names, str):
        with pytest.raises(ValueError, match=names):
            allotted(gpus)
        with pytest.raises(ValueError, match=names):
            find_slots("cuda", gpus, ("false",))
    else:
        assert allotted(gpus) == names

"""Measuring: sizes by counting, speeds by the clock, and the records that keep them with their
provenance.

counting     parameters, multiply-accumulates, receptive fields
clock        how long a call takes: median and quartiles, interleaved, synchronised
steps        one inference or training step of a model, ready for the clock
provenance   the device, the versions and the commit that a number belongs to
records      one JSON line a measurement, append-only

`python -m tresnet_lite.bench` measures what the paper measured, in campaigns:

suites        what there is to measure, as points
networks      the models of the points: timm's, ours, the rungs of Table 4
batch_search  the largest batch that fits
where         time by stage and by operation
point         one point, in a process of its own
campaign      many points, one process after the other on each device, resumable
slurm         the same as jobs of a cluster
"""

from tresnet_lite.bench.clock import Spread, Timing, TimingError, measure, measure_many
from tresnet_lite.bench.counting import count_macs, count_parameters, receptive_field
from tresnet_lite.bench.provenance import Provenance, collect
from tresnet_lite.bench.records import (
    Conditions,
    Failure,
    Record,
    RecordError,
    append,
    failures,
    latest,
    load,
    pair,
    repair,
)
from tresnet_lite.bench.steps import inference_step, synthetic_images, throughput, training_step

__all__ = [
    "Conditions",
    "Failure",
    "Provenance",
    "Record",
    "RecordError",
    "Spread",
    "Timing",
    "TimingError",
    "append",
    "collect",
    "count_macs",
    "count_parameters",
    "failures",
    "inference_step",
    "latest",
    "load",
    "measure",
    "measure_many",
    "pair",
    "receptive_field",
    "repair",
    "synthetic_images",
    "throughput",
    "training_step",
]

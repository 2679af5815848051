"""Measuring: sizes by counting, speeds by the clock, and the records that keep them with their provenance.

counting     parameters, multiply-accumulates, receptive fields
clock        how long a call takes: median and quartiles, interleaved, synchronised
steps        one inference or training step of a model, ready for the clock
provenance   the device, the versions and the commit that a number belongs to
records      one JSON line a measurement, append-only
"""

from tresnet_lite.bench.clock import Spread, Timing, TimingError, measure, measure_many
from tresnet_lite.bench.counting import count_macs, count_parameters, receptive_field
from tresnet_lite.bench.provenance import Provenance, collect
from tresnet_lite.bench.records import Conditions, Record, RecordError, append, latest, load, pair, repair
from tresnet_lite.bench.steps import inference_step, synthetic_images, throughput, training_step

__all__ = [
    "Conditions",
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

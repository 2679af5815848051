"""Measuring: speeds and memory by the clock and the device.

clock         how long a call takes: median and quartiles, interleaved, synchronised
steps         one inference or training step of a model, ready for the clock
peak          the most memory that a step holds
compare       several models against each other, under a profile
roofline      a device's two ceilings, and what a model asks of each

`python -m tresnet_lite.bench` measures what the paper measured, in campaigns:

suites        what there is to measure, as points
batch_search  a search for the largest batch that fits
memory        the memory that training takes: counted, measured, and tried until it is full
where         time by stage and by operation
point         one point, in a process of its own
campaign      many points, one process after the other on each device, resumable
slurm         the same as jobs of a cluster

`python -m tresnet_lite.bench.install_iabn` builds the published Inplace-ABN for this torch.
"""

from tresnet_lite.bench.clock import Timing, TimingError, measure, measure_many
from tresnet_lite.bench.steps import inference_step, synthetic_images, throughput, training_step

__all__ = ["Timing", "TimingError", "measure", "measure_many"]
__all__ += ["inference_step", "synthetic_images", "throughput", "training_step"]

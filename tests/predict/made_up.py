"""Made-up loads and speeds, whose constants are known."""

import numpy as np

from tresnet_lite.predict import Load, Speed
from tresnet_lite.predict.roofline import Rates, Rules, demand, image_seconds

RATES = Rates(arithmetic=3e13, bandwidth=7e11)


def load(seed: int, phase: str = "inference", operations: int = 40) -> Load:
    """Convolutions, dense, grouped and depthwise, of all intensities."""
    random = np.random.default_rng(seed)
    channels = [(1, 64, 128), (32, 8, 8), (96, 1, 1), (0, 0, 0)]
    kinds = random.choice(len(channels), operations, p=[0.5, 0.1, 0.2, 0.2])
    moved = random.uniform(1e5, 4e6, operations).round()
    macs = moved * np.exp(random.uniform(-1, 7, operations)) * np.array([1, 1, 0.02, 0])[kinds]
    once = random.uniform(1e4, 1e6, operations).round()
    names = tuple("mean" if kind == 3 else "convolution" for kind in kinds)
    shape = np.array(channels)[kinds]
    return Load(names, macs.round(), moved, once, shape, 10**7, 5 * 10**6, phase, 224)


def speed(seed: int, rates: Rates, rules: Rules, phase: str = "inference", off: float = 0) -> Speed:
    """What a network's speed would be; `off` is its log residual."""
    asked, batch = load(seed, phase), 128
    seconds = image_seconds(demand([(asked, batch)], rules), rates)[0]
    return Speed(f"network {seed}", asked, batch, float(np.exp(off) / seconds))

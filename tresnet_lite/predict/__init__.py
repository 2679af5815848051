"""The speed of a network on a device, predicted by counting (`python -m tresnet_lite.predict`).

load            what a network's step asks for: MACs and bytes of each operation
roofline        the time of that: per operation the longer of arithmetic and memory traffic
fit             constants of a device from measured speeds; predictions with intervals; leaving out
devices         the file of constants, and data sheets
constants       the constants that come with the package, fitted again; those of your own device
sources         measured speeds with their loads: of records, and of timm's
paper_speeds    the paper's 24, and those read off its figures
paper_report    how well these are predicted
validate        the same on all of timm's published files
memory          the largest batch of training
"""

from tresnet_lite.predict.fit import Fit, Prediction, Speed, fit
from tresnet_lite.predict.load import Load, load_of

__all__ = ["Fit", "Load", "Prediction", "Speed", "fit", "load_of"]

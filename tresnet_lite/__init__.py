"""TResNet in small: the paper's networks, measurements and claims, as code that reads like it."""

import getpass
import os

from tresnet_lite import layers
from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.model import TResNet, TResNetConfig, create_model, list_models, paper_reading
from tresnet_lite.weights import load_weights, to_batchnorm, to_inplace_abn

__version__ = "0.1.0"

try:
    getpass.getuser()
except (KeyError, OSError):  # a container's user may have no name, which torch's compiler asks for
    os.environ["LOGNAME"] = f"uid-{os.getuid()}"

__all__ = [
    "TResNet",
    "TResNetConfig",
    "ablation_ladder",
    "create_model",
    "layers",
    "list_models",
    "load_weights",
    "paper_reading",
    "to_batchnorm",
    "to_inplace_abn",
]

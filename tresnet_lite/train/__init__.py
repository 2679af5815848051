"""Training by the recipe of §3.1 and §3.3, by a lab on ImageNet or by a CPU on digits."""

from tresnet_lite.train.data import Data, image_folder, load_data
from tresnet_lite.train.digits import Digits, digits
from tresnet_lite.train.engine import Interrupted, NonFiniteLoss, Result, train
from tresnet_lite.train.log import read_log
from tresnet_lite.train.networks import build_network, initialise_from
from tresnet_lite.train.optimisation import (
    make_ema,
    make_loss,
    make_optimizer,
    make_schedule,
    parameter_groups,
    schedule_values,
)
from tresnet_lite.train.reading import Images, TooManyUnreadable, Unreadable, collate, test_loader
from tresnet_lite.train.recipe import INGREDIENTS, RECIPES, Recipe, make_recipe
from tresnet_lite.train.run_folder import ResumeError, load_trained
from tresnet_lite.train.scores import Scores, evaluate

__all__ = ["INGREDIENTS", "RECIPES", "Recipe", "make_recipe"]
__all__ += ["Data", "Digits", "Images", "TooManyUnreadable", "Unreadable"]
__all__ += ["collate", "digits", "image_folder", "load_data", "test_loader"]
__all__ += ["build_network", "initialise_from"]
__all__ += ["make_ema", "make_loss", "make_optimizer", "make_schedule"]
__all__ += ["parameter_groups", "schedule_values"]
__all__ += ["Interrupted", "NonFiniteLoss", "Result", "Scores", "evaluate", "train"]
__all__ += ["ResumeError", "load_trained", "read_log"]

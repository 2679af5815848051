"""Accuracy of weights on a folder of labelled photographs, as records (Tables 3 and 5)."""

from tresnet_lite.evaluate.accuracy import Accuracy
from tresnet_lite.evaluate.photographs import Photographs, photographs, real_labels
from tresnet_lite.evaluate.predictions import Predictions, predict
from tresnet_lite.evaluate.scoring import score, to_records
from tresnet_lite.evaluate.subjects import Subject, published_name, subject

__all__ = ["Accuracy", "Photographs", "Predictions", "Subject"]
__all__ += ["photographs", "predict", "published_name", "real_labels", "score", "subject"]
__all__ += ["to_records"]

"""Accuracy of published or own weights on a folder of labelled photographs, as records (Tables 3
and 5).
"""

from tresnet_lite.evaluation.photographs import Photographs, photographs, real_labels
from tresnet_lite.evaluation.predictions import Predictions, predict
from tresnet_lite.evaluation.scoring import Accuracy, score, to_records
from tresnet_lite.evaluation.subjects import Subject, published_name, subject

__all__ = [
    "Accuracy",
    "Photographs",
    "Predictions",
    "Subject",
    "photographs",
    "predict",
    "published_name",
    "real_labels",
    "score",
    "subject",
    "to_records",
]

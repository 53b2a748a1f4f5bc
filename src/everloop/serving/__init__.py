"""Models in use: loading packages, answering requests in batches, an endpoint's traffic, the log of predictions.

Leaves alarms to `monitoring` (which reads the log) and decisions about traffic to `loop`. What loads SQLAlchemy
(`serving.sql`), scikit-learn (`serving.model`) or HTTP (`serving.gateway`) is imported by its full path.
"""

from everloop.serving.deployment import Deployment
from everloop.serving.prediction import (
    Capture,
    Counts,
    Explanation,
    Feedback,
    Label,
    LabelFailure,
    Outcome,
    Predictions,
    prediction_ids,
)
from everloop.serving.store import PredictionLog, ServingStore

__all__ = [
    "Capture",
    "Counts",
    "Deployment",
    "Explanation",
    "Feedback",
    "Label",
    "LabelFailure",
    "Outcome",
    "PredictionLog",
    "Predictions",
    "ServingStore",
    "prediction_ids",
]

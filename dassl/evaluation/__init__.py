from .build import EVALUATOR_REGISTRY, build_evaluator
from .evaluator import Classification, EvaluatorBase
from .predictions import PREDICTIONS_FILE, Predictions

__all__ = [
    "EVALUATOR_REGISTRY",
    "PREDICTIONS_FILE",
    "Classification",
    "EvaluatorBase",
    "Predictions",
    "build_evaluator",
]

from dassl.utils import Registry, check_availability

__all__ = ["EVALUATOR_REGISTRY", "Registry", "build_evaluator", "check_availability"]

EVALUATOR_REGISTRY = Registry("EVALUATOR")


def build_evaluator(cfg, **kwargs):
    """Build the evaluator that ``cfg.TEST.EVALUATOR`` names."""
    evaluator = EVALUATOR_REGISTRY.get(cfg.TEST.EVALUATOR)
    if cfg.VERBOSE:
        print(f"Loading evaluator: {cfg.TEST.EVALUATOR}")
    return evaluator(cfg, **kwargs)

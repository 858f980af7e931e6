import torch
import torch.nn as nn

from dassl.utils import ConfigError, check_availability, tolist_if_not

from .radam import RAdam

AVAI_OPTIMS = ["adam", "amsgrad", "sgd", "rmsprop", "radam", "adamw"]


def build_optimizer(model, optim_cfg, param_groups=None) -> torch.optim.Optimizer:
    """Build the optimizer that ``optim_cfg`` (the OPTIM node of a config) describes.

    Args:
        model: a module, or an iterable of parameters or parameter groups.
        param_groups: used instead of ``model`` if given; STAGED_LR then has no effect.

    Raises:
        UserError: an unknown NAME, or a value that the optimizer does not take.
    """
    try:
        return _build(model, optim_cfg, param_groups)
    except ValueError as error:  # torch names the value
        raise ConfigError(f"OPTIM: {error}: correct it") from error


def _build(model, optim_cfg, param_groups) -> torch.optim.Optimizer:
    check_availability(optim_cfg.NAME, AVAI_OPTIMS, "OPTIM.NAME")
    if param_groups is None:
        if optim_cfg.STAGED_LR:
            param_groups = _staged_groups(model, optim_cfg)
        else:
            param_groups = model.parameters() if isinstance(model, nn.Module) else model

    shared = {"lr": optim_cfg.LR, "weight_decay": optim_cfg.WEIGHT_DECAY}
    adam = {"betas": (optim_cfg.ADAM_BETA1, optim_cfg.ADAM_BETA2), "eps": optim_cfg.ADAM_EPS, **shared}
    if optim_cfg.NAME == "sgd":
        return torch.optim.SGD(
            param_groups,
            momentum=optim_cfg.MOMENTUM,
            dampening=optim_cfg.SGD_DAMPNING,
            nesterov=optim_cfg.SGD_NESTEROV,
            **shared,
        )
    if optim_cfg.NAME == "rmsprop":
        return torch.optim.RMSprop(param_groups, momentum=optim_cfg.MOMENTUM, alpha=optim_cfg.RMSPROP_ALPHA, **shared)
    if optim_cfg.NAME == "radam":
        return RAdam(param_groups, **adam)
    if optim_cfg.NAME == "adamw":
        return torch.optim.AdamW(param_groups, **adam)
    return torch.optim.Adam(param_groups, amsgrad=optim_cfg.NAME == "amsgrad", **adam)


def _staged_groups(model: nn.Module, optim_cfg) -> list[dict]:
    """Two groups: the children that NEW_LAYERS names, and the others at LR * BASE_LR_MULT."""
    if isinstance(model, nn.DataParallel):
        model = model.module
    children = dict(model.named_children())
    new_layers = tolist_if_not(optim_cfg.NEW_LAYERS) if isinstance(optim_cfg.NEW_LAYERS, str) else optim_cfg.NEW_LAYERS
    for name in new_layers:
        if name not in children:
            raise ConfigError(
                f'OPTIM.NEW_LAYERS: {type(model).__name__} has no layer "{name}", it has {list(children)}'
            )
    base = [p for name, child in children.items() if name not in new_layers for p in child.parameters()]
    new = [p for name, child in children.items() if name in new_layers for p in child.parameters()]
    return [{"params": base, "lr": optim_cfg.LR * optim_cfg.BASE_LR_MULT}, {"params": new}]

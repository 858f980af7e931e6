"""The methods, one file each: importing this package registers every trainer file in this folder.

A new method is a new file here that decorates its class with `@TRAINER_REGISTRY.register()`; nothing else is edited.
"""

from __future__ import annotations

import importlib
import pkgutil

from yacs.config import CfgNode

from dassl.engine import TRAINER_REGISTRY

__all__ = ["add_config"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


# Nodes that CoOp's train.py declares for its trainer files, which may stand in the place of ours.
COOP_NODES = {
    "COOP": {"N_CTX": 16, "CSC": False, "CTX_INIT": "", "PREC": "fp16", "CLASS_TOKEN_POSITION": "end"},
    "COCOOP": {"N_CTX": 16, "CTX_INIT": "", "PREC": "fp16"},
}


def add_config(cfg: CfgNode) -> None:
    """Add every method's own node ``TRAINER.<NODE>`` with its defaults to ``cfg``."""
    nodes = dict(COOP_NODES)
    for name in TRAINER_REGISTRY.registered_names():
        trainer = TRAINER_REGISTRY.get(name)
        if getattr(trainer, "config_node", ""):
            nodes[trainer.config_node] = trainer.config_defaults
    for name, defaults in nodes.items():
        cfg.TRAINER[name] = CfgNode(dict(defaults))

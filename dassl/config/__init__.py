from .defaults import clean_cfg, get_cfg_default
from .merge import CfgNode, all_items, is_printable, merge_from_file, merge_from_list, read_yaml

__all__ = [
    "CfgNode",
    "all_items",
    "clean_cfg",
    "get_cfg_default",
    "is_printable",
    "merge_from_file",
    "merge_from_list",
    "read_yaml",
]

from .defaults import clean_cfg, get_cfg_default
from .merge import CfgNode, all_items, is_printable, merge_from_file, merge_from_list, read_yaml

cfg_default = get_cfg_default()

__all__ = [
    "CfgNode",
    "all_items",
    "cfg_default",
    "clean_cfg",
    "get_cfg_default",
    "is_printable",
    "merge_from_file",
    "merge_from_list",
    "read_yaml",
]

from .defaults import clean_cfg, get_cfg_default
from .merge import CfgNode, all_items, merge_from_file, merge_from_list, read_yaml

__all__ = ["CfgNode", "all_items", "clean_cfg", "get_cfg_default", "merge_from_file", "merge_from_list", "read_yaml"]

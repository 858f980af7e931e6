from .defaults import clean_cfg, get_cfg_default
from .merge import CfgNode, merge_from_file, merge_from_list

__all__ = ["CfgNode", "clean_cfg", "get_cfg_default", "merge_from_file", "merge_from_list"]

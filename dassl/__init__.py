"""The Dassl API that prompt-learning trainers and datasets are written against, on current PyTorch.

The names, hooks and defaults are those of KaiyangZhou/Dassl.pytorch; the implementation is this project's own.
"""

"""The states of all random generators, as tensors and plain values, which a checkpoint can hold."""

import random

import numpy as np
import torch


def random_states(with_gpus: bool = False) -> dict:
    """The states of Python's, NumPy's and torch's global generators, and of all GPUs' where ``with_gpus``."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached_gauss = np.random.get_state()
    states = {
        "python": [version, _as_tensor(words), gauss],
        "numpy": [kind, _as_tensor(keys), position, has_gauss, cached_gauss],
        "torch": torch.get_rng_state(),
    }
    if with_gpus and torch.cuda.is_initialized():  # a run that leaves them alone opens none
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def set_random_states(states: dict) -> None:
    """Put the generators into `random_states` of this or an earlier process; GPUs that it had more of are left out."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(_as_words(words).tolist()), gauss))
    kind, keys, position, has_gauss, cached_gauss = states["numpy"]
    np.random.set_state((kind, _as_words(keys), position, has_gauss, cached_gauss))
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_initialized():
        for device, state in zip(range(torch.cuda.device_count()), states.get("cuda", ()), strict=False):
            torch.cuda.set_rng_state(state, device)


def check_random_states(*several: dict) -> None:
    """Try states from a file, which may be a stranger's: an error of some kind where they are none."""
    before = random_states(with_gpus=True)
    for states in (*several, before):
        set_random_states(states)


def _as_tensor(words) -> torch.Tensor:
    return torch.from_numpy(np.asarray(words, dtype=np.uint32).view(np.int32).copy())


def _as_words(tensor: torch.Tensor) -> np.ndarray:
    return tensor.numpy().view(np.uint32)

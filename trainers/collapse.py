"""Whether a finished run has collapsed: its accuracy on the training images against zero-shot CLIP's on the same."""

from __future__ import annotations


def collapse_warning(accuracy: float, zero_shot: float, images: int, clip_grad_norm: float) -> str:
    """The line to print where a run knows its training images no better than zero-shot CLIP does, else "".

    Args:
        accuracy: of the run over its last epoch, in %; zero_shot: of zero-shot CLIP on the same images.
        images: how many these were.
        clip_grad_norm: the run's OPTIM.CLIP_GRAD_NORM.
    """
    if accuracy > zero_shot or accuracy == 100:
        return ""
    variance = sum(share * (100 - share) / images for share in (accuracy, zero_shot))
    is_clear = zero_shot - accuracy > 2 * variance**0.5  # two standard errors of the difference
    norm = "a smaller OPTIM.CLIP_GRAD_NORM" if clip_grad_norm else "OPTIM.CLIP_GRAD_NORM 1.0"
    return (
        f"warning: the run {'looks collapsed' if is_clear else 'may have learned nothing'}: training accuracy "
        f"{accuracy:.1f}% over the last epoch, zero-shot CLIP's on the same images {zero_shot:.1f}%; try {norm}, "
        "a lower OPTIM.LR or more epochs"
    )

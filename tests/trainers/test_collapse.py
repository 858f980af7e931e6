"""A run that knows its own training images no better than zero-shot CLIP does is told so."""

import pytest

from trainers.collapse import collapse_warning


@pytest.mark.parametrize(
    ("accuracy", "zero_shot", "images", "verdict"),
    [
        (24.0, 65.0, 192, "the run looks collapsed: training accuracy 24.0% over the last epoch, "),
        (62.0, 65.1, 192, "the run may have learned nothing: "),  # 6 images: chance
        (62.0, 65.1, 19_200, "the run looks collapsed: "),
        (65.0, 65.0, 192, "the run may have learned nothing: "),
        (99.0, 100.0, 100, "the run may have learned nothing: "),
        (65.1, 65.0, 192, ""),
        (100.0, 100.0, 10, ""),
    ],
)
def test_what_is_told_depends_on_how_clear_the_difference_is(accuracy, zero_shot, images, verdict):
    told = collapse_warning(accuracy, zero_shot, images, clip_grad_norm=0.0)
    assert told.startswith(f"warning: {verdict}" if verdict else "") and bool(told) == bool(verdict)
    assert "\n" not in told and ("try OPTIM.CLIP_GRAD_NORM 1.0, a lower OPTIM.LR" in told) == bool(verdict)


def test_a_run_that_clips_already_is_told_to_clip_more():
    assert "try a smaller OPTIM.CLIP_GRAD_NORM, a lower OPTIM.LR" in collapse_warning(24.0, 65.0, 192, 1.0)

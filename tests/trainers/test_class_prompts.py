import pytest

from support.user_error import UserError
from trainers.class_prompts import class_text


def test_an_unknown_position_is_named():
    with pytest.raises(UserError, match='^CLASS_TOKEN_POSITION is "start": '):
        class_text(["dog"], n_ctx=4, position="start")

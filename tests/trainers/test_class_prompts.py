import pytest

from support.user_error import UserError
from trainers.class_prompts import class_text


@pytest.mark.parametrize("key", [{}, {"key": "TRAINER.X.CLASS_TOKEN_POSITION"}])
def test_an_unknown_position_is_said_of_the_callers_key(key):
    with pytest.raises(UserError) as caught:
        class_text(["dog"], n_ctx=4, position="start", **key)
    assert str(caught.value).startswith(f'{key.get("key", "CLASS_TOKEN_POSITION")} is "start": ')

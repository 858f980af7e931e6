import pytest

from dassl.utils import Registry, UnknownNameError, UserError, check_availability, did_you_mean


def test_did_you_mean_finds_the_nearest_in_any_case():
    assert did_you_mean("coopp", ["CoOp", "CoCoOp", "MuDPT"]) == ' (did you mean "CoOp"?)'
    assert did_you_mean("mudpt", ["CoOp", "MuDPT"]) == ' (did you mean "MuDPT"?)'
    assert did_you_mean("resnet", ["CoOp", "MuDPT"]) == ""


def test_message_is_one_line():
    assert str(UserError("cannot read x:\n  it is  broken\n")) == "cannot read x: it is  broken"


def test_a_message_that_a_file_made_long_keeps_its_beginning_and_end():
    message = str(UserError(f"a.txt: unknown {'x' * 10**6}: mend it"))
    assert len(message) < 5000 and message.startswith("a.txt: unknown xx") and message.endswith("xx: mend it")


def test_message_of_a_dataloader_worker_is_found_in_its_traceback():
    text = "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File ...\n"
    assert str(UserError(f"{text}support.user_error.UserError: image not found: a.png\n")) == "image not found: a.png"


def test_registry_by_decorator_and_call():
    registry = Registry("TRAINER")

    @registry.register()
    class First:
        pass

    class Second:
        pass

    registry.register(Second)
    assert registry.get("First") is First and registry.get("Second") is Second
    assert registry.registered_names() == ["First", "Second"]


def test_unknown_name_is_a_plain_line_and_a_key_error():
    registry = Registry("TRAINER")

    @registry.register()
    class CoOp:
        pass

    with pytest.raises(UnknownNameError) as caught:
        registry.get("CoOpp")
    assert str(caught.value) == 'unknown trainer "CoOpp" (did you mean "CoOp"?); known: CoOp'
    assert isinstance(caught.value, UserError) and isinstance(caught.value, KeyError)


def test_name_is_taken_once_unless_forced():
    registry = Registry("DATASET")
    first, second = type("Pets", (), {}), type("Pets", (), {})
    registry.register(first)
    with pytest.raises(UserError, match='dataset "Pets" is defined twice'):
        registry.register(second)
    registry.register(second, force=True)
    assert registry.get("Pets") is second


def test_check_availability():
    check_availability("a", ["a", "b"])
    with pytest.raises(UserError, match='unknown sampler "c"; known: a, b'):
        check_availability("c", ["a", "b"], "sampler")


def test_a_name_left_empty_is_not_called_unknown():
    with pytest.raises(UnknownNameError, match="no trainer is named: choose one of CoOp, MuDPT"):
        check_availability("", ["CoOp", "MuDPT"], "trainer")

"""Every command tells a mistake in one line, and with MUDPT_DEBUG=1 shows its traceback."""

import importlib

import pytest

from support.user_error import UserError

# command: its function, and arguments that are a mistake
COMMANDS = {
    "train.py": ("train", "run", "--config-file nowhere.yaml"),
    "benchmark.py": ("benchmark", "main", "report nowhere"),
    "tune.py": ("tune", "main", "CoOp --datasets digits --grid OPTIM.LR"),
    "parse_test_res.py": ("parse_test_res", "main", "nowhere"),
    "interpret_prompt.py": ("interpret_prompt", "main", "nowhere 3"),
    "draw_curves.py": ("draw_curves", "main", "nowhere"),
    "python -m datasets.prepare": ("datasets.prepare.__main__", "main", "nothing"),
    "python -m datasets.check": ("datasets.check.__main__", "main", "nothing"),
}


@pytest.fixture(params=COMMANDS)
def command(request):
    """The function of a command, and words that are a mistake."""
    module, function, words = COMMANDS[request.param]
    return getattr(importlib.import_module(module), function), words.split()


def test_a_mistake_is_one_line_and_on_demand_a_traceback(command, person):
    main, words = command
    person.type(main, *words)
    assert person.code == 2
    assert person.errors.startswith("error: ") and person.errors.count("\n") == 1
    person.patch.setenv("MUDPT_DEBUG", "1")
    with pytest.raises((UserError, FileNotFoundError)):
        person.type(main, *words)


def test_a_misspelt_flag_is_one_line(command, person):
    main, words = command
    person.type(main, "--no-such-flag", *words)
    assert person.code == 2
    assert person.errors.startswith("error: ") and person.errors.count("\n") == 1
    assert " --help)" in person.errors

"""What the operating system refuses is one line, too, whichever command meets it."""

import errno
import os

import pytest

import parse_test_res
from dassl.utils import Logger
from tests.fake_runs import FakeRuns


def one_line(person, *parts: str) -> None:
    assert person.code == 2
    assert person.errors.startswith("error: ") and person.errors.count("\n") == 1, person.errors
    assert all(part in person.errors for part in parts), person.errors


def test_a_folder_in_place_of_a_log(person):
    (person.output / "seed1/log.txt").mkdir(parents=True)
    person.type(parse_test_res.main, "output")
    one_line(person, "Is a directory", "output/seed1/log.txt")


def test_a_file_in_place_of_the_output_folder(person):
    person.write("output")
    person.train()
    one_line(person, "output")


def test_a_file_above_the_output_folder(person):
    person.write("output")
    person.train("OUTPUT_DIR output/run")
    one_line(person, "output/run")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_a_log_that_cannot_be_opened(number, person):
    def refuse(self, file=None):
        raise OSError(number, os.strerror(number), file)

    person.patch.setattr(Logger, "__init__", refuse)
    person.train()
    one_line(person, os.strerror(number), "log.txt")
    assert not person.output.exists()


@pytest.mark.parametrize("options", ["--html output", "--plots digits"])
def test_a_report_where_a_folder_or_a_file_is(options, person):
    FakeRuns(person.output).add_few_shot("digits", "CoOp/tiny", 4, 1, 60.0)
    person.write("digits")
    person.benchmark(f"report output {options}")
    one_line(person, options.split()[1])


def test_the_log_of_an_earlier_run_keeps_its_name_where_the_next_is_refused(person):
    person.has_trained()
    log = (person.output / "log.txt").read_text()
    person.train("OPTIM.LR 0.5 OPTIM.MAX_EPOCH 3 DATASET.NUM_SHOTS 1", flags="")
    one_line(person, "OPTIM.LR")
    assert (person.output / "log.txt").read_text() == log
    assert not list(person.output.glob("log.txt-*"))

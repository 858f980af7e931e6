import pytest

from comparison.job import PROMPT, Job
from comparison.run_spec import RunSpec

TRAINING = "epoch [{}/50] batch [1/2] time 0.1 (0.1)\n"


@pytest.fixture
def job(tmp_path):
    job = Job.of(RunSpec("few_shot", "all", "digits", "CoOp", "tiny", shots=4, seed=1), "digits", "data", tmp_path)
    job.log.parent.mkdir()
    return job


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (None, (0.0, "starting")),
        (PROMPT + "python train.py\nimporting\n", (0.0, "starting")),
        (PROMPT + TRAINING.format(10) + TRAINING.format(26), (0.51, "epoch 26/50, batch 1/2")),
        (TRAINING.format(3) + "Evaluate on the *val* set\n", (0.05, "epoch 3/50, batch 1/2")),
        (TRAINING.format(50) + "Finish training\nEvaluate on the *test* set\n", (1.0, "testing")),
        (TRAINING.format(50) + "Evaluate on the *test* set\n" + PROMPT + "python\n", (0.0, "starting")),  # anew
        ("x" * 50_000 + "\n" + TRAINING.format(26), (0.51, "epoch 26/50, batch 1/2")),
    ],
)
def test_progress_is_read_from_the_end_of_the_log(log, expected, job):
    if log is not None:
        job.log.write_text(log)
    assert job.progress() == expected


def test_a_job_is_told_in_words_and_by_its_folder(job):
    assert str(job) == "CoOp tiny, digits, 4 shots, seed 1, all classes"
    assert job.log.name == "digits-CoOp-tiny_4shots-seed1.log"
    assert job.folder.as_posix().endswith("digits/CoOp/tiny_4shots/seed1")

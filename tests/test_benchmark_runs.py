"""benchmark.py base2new and its siblings as a user types them; a stand-in for train.py records the runs."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import benchmark
from comparison.methods import methods_here
from comparison.run_spec import RunSpec
from comparison.workers import Workers
from dassl.config.merge import read_yaml
from tests.small_data import draw_few, few_digits


@pytest.fixture
def bench(root, recorder, tmp_path, capsys, monkeypatch):
    """Run benchmark.py with CoOp and zero-shot CLIP on digits, unless the arguments say otherwise."""
    monkeypatch.chdir(root)
    before = signal.getsignal(signal.SIGTERM)

    def bench(protocol="base2new", *more, trainers="CoOp ZeroshotCLIP", datasets="digits", seeds="1 2"):
        arguments = [protocol, "--output", str(tmp_path / "output"), "--data", str(tmp_path / "data")]
        arguments += ["--trainers", *trainers.split()]
        arguments += ["--seeds", *seeds.split(), *(["--datasets", *datasets.split()] if datasets else [])]
        try:
            code = benchmark.main([*arguments, *more])
        except SystemExit as ended:
            code = ended.code
        printed = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=printed.out, stderr=printed.err)

    yield bench
    signal.signal(signal.SIGTERM, before)


def folders(recorder, tmp_path) -> list[str]:
    """Where the recorded runs wrote, below the output folder."""
    calls = recorder()
    return [str(Path(call[call.index("--output-dir") + 1]).relative_to(tmp_path / "output")) for call in calls]


def assert_refused(done, *parts):
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    for part in parts:
        assert part in done.stderr


def test_runs_everything_prints_the_table_and_skips_it_the_next_time(bench, recorder, tmp_path):
    first = bench()
    assert first.returncode == 0, first.stdout + first.stderr
    assert len(recorder()) == 6  # zero-shot CLIP once
    line = r"\[\d/6\] \w+ tiny, digits, (16 shots, seed \d, )?(base|new) classes: 75\.0 %, 0:\d\d"
    assert sum(bool(re.match(line, text)) for text in first.stdout.splitlines()) == 6
    assert sum("75.00 ± 0.00" in text and text.endswith("1 2") for text in first.stdout.splitlines()) == 1
    second = bench()
    assert second.returncode == 0
    assert "6 runs, 6 finished before" in second.stdout
    assert len(recorder()) == 6


def test_runs_are_those_of_the_scripts(bench, recorder, root, tmp_path):
    environment = {**os.environ, "OUTPUT": str(tmp_path / "output"), "DATA": str(tmp_path / "data")}
    for script in ("base2new_train", "base2new_test"):
        command = ["bash", str(root / f"scripts/coop/{script}.sh"), "digits", "1"]
        subprocess.run(command, cwd=root, env=environment, check=True, timeout=60)
    by_scripts = recorder()
    assert "4 runs, 2 finished before" in bench(trainers="CoOp").stdout
    again = [[part.replace("seed2", "seed1") for part in call] for call in recorder()[2:]]
    again = [["1" if before == "--seed" else part for before, part in zip(["", *c], c, strict=False)] for c in again]
    assert again == by_scripts


def test_few_shot_runs_every_number_of_shots(bench, recorder, tmp_path):
    assert bench("few_shot", "--shots", "1", "4", trainers="MuDPT").returncode == 0
    assert sorted(folders(recorder, tmp_path)) == [
        f"digits/MuDPT/tiny_{shots}shots/seed{seed}" for shots in (1, 4) for seed in (1, 2)
    ]


@pytest.mark.parametrize("protocol", ["cross_dataset", "domain_generalization"])
def test_models_of_the_source_are_tested_on_the_others(protocol, bench, recorder, tmp_path):
    draw_few(tmp_path / "data", "shapes", "shapes_blur", "shapes_noise")
    done = bench(protocol, "--source", "shapes", trainers="CoOp", seeds="1", datasets="shapes_blur shapes_noise")
    assert done.returncode == 0, done.stdout + done.stderr
    model, *tests = folders(recorder, tmp_path)  # the model first
    assert model == "shapes/CoOp/tiny_16shots/seed1"
    assert sorted(tests) == [f"evaluation/CoOp/tiny_16shots/{name}/seed1" for name in ("shapes_blur", "shapes_noise")]
    assert all(call[call.index("--model-dir") + 1].endswith(model) for call in recorder()[1:])


def test_domain_generalization_knows_the_shifted_versions_of_its_source(bench, tmp_path):
    named = bench("domain_generalization", "--source", "shapes", "--dry-run", datasets="", seeds="1", trainers="CoOp")
    assert named.returncode == 0, named.stderr
    for name in ("shapes_blur", "shapes_noise", "shapes_sketch"):
        assert f"CoOp tiny, {name}, 16 shots, seed 1, shifted dataset" in named.stdout
    imagenet = bench("domain_generalization", "--dry-run", datasets="", seeds="1", trainers="CoOp")
    assert all(f", imagenet{suffix}, " in imagenet.stdout for suffix in ("v2", "_sketch", "_a", "_r"))
    assert_refused(bench("cross_dataset", "--source", "letters", datasets=""), "--datasets", "letters")


def test_a_config_a_variant_and_pairs_keep_settings_apart(bench, recorder, tmp_path):
    more = ("--variant", "wide", "--set", "TRAINER.COOP.CTX_INIT", "", "TRAINER.COOP.N_CTX", "8")
    assert bench("few_shot", "--shots", "2", *more, trainers="CoOp", seeds="1").returncode == 0
    assert bench("few_shot", "--shots", "2", trainers="VPT/tiny_shallow", seeds="1").returncode == 0
    assert folders(recorder, tmp_path) == ["digits/CoOp/tiny_2shots/wide/seed1", "digits/VPT/tiny_shallow_2shots/seed1"]
    assert recorder()[0][-4:] == ["TRAINER.COOP.CTX_INIT", "", "TRAINER.COOP.N_CTX", "8"]


def test_shots_and_seeds_among_the_pairs_are_those_of_the_runs(bench, recorder, tmp_path):
    assert (
        bench("few_shot", "--shots", "1", "--set", "DATASET.NUM_SHOTS", "4", "SEED", "7", trainers="CoOp").returncode
        == 0
    )
    assert folders(recorder, tmp_path) == ["digits/CoOp/tiny_4shots/seed7"]


def test_a_dry_run_lists_the_runs_with_their_time_and_starts_none(bench, recorder, tmp_path):
    before = bench(datasets="digits", seeds="1", trainers="CoOp")
    assert before.returncode == 0
    for file in (tmp_path / "output").rglob("results.json"):
        results = json.loads(file.read_text())
        results["seconds"]["total"] = 60 if "train_base" in str(file) else 30
        file.write_text(json.dumps(results))
    done = bench("base2new", "--dry-run", "--jobs", "1")
    lines = {line.split("  ")[0]: line.split()[-1] for line in done.stdout.splitlines() if " seed " in line}
    assert lines == {
        "CoOp tiny, digits, 16 shots, seed 1, base classes": "finished",
        "CoOp tiny, digits, 16 shots, seed 1, new classes": "finished",
        "CoOp tiny, digits, 16 shots, seed 2, base classes": "1:00",
        "CoOp tiny, digits, 16 shots, seed 2, new classes": "0:30",
    }
    assert [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("Zeroshot")] == ["?", "?"]
    assert "6 runs, 4 to do, 1 at a time\nabout 1:30 for the 2 whose like has finished before" in done.stdout
    assert len(recorder()) == 2


@pytest.mark.parametrize("code", [1, 2])
def test_a_failed_run_does_not_stop_the_others_and_is_tried_once_more_unless_it_is_hopeless(
    code, bench, recorder, tmp_path, monkeypatch
):
    monkeypatch.setenv("FAIL", "--seed 2 --trainer CoOp")
    monkeypatch.setenv("FAIL_CODE", str(code))
    done = bench(trainers="CoOp VPT")
    assert done.returncode == 1
    failing = "CoOp tiny, digits, 16 shots, seed 2, base classes"
    assert f"{failing}: failed after 0:0" in done.stdout
    assert ("is tried once more" in done.stdout) == (code == 1)
    assert f"failed: {failing}; the end of {tmp_path}/output/logs/" in done.stdout
    assert "    error: it did not work" in done.stdout
    assert "CoOp tiny, digits, 16 shots, seed 2, new classes: not run, for want of its model" in done.stdout
    assert "1 of 8 runs failed, so that 1 could not test their models" in done.stdout
    assert len(recorder()) == (8 if code == 1 else 7)  # six that work, and the failing one
    assert any(line.endswith("1 (no 2)") for line in done.stdout.splitlines())
    monkeypatch.delenv("FAIL")
    corrected = bench(trainers="CoOp VPT")
    assert corrected.returncode == 0 and "8 runs, 6 finished before" in corrected.stdout


def test_a_run_that_writes_results_of_other_settings_fails_alone(bench, recorder, tmp_path, monkeypatch):
    monkeypatch.setenv("CONFIG", json.dumps({"OPTIM": {"MAX_EPOCH": 7}}))
    done = bench(trainers="CoOp ZeroshotCLIP")
    assert done.returncode == 1
    assert done.stdout.count("OPTIM.MAX_EPOCH 7, ") == 4  # both seeds of CoOp, both halves of zero-shot CLIP
    assert done.stderr == "" and len(recorder()) == 4


def test_what_all_runs_lack_is_told_in_one_list_before_any_starts(bench, recorder, tmp_path):
    done = bench(datasets="digits dtd eurosat", trainers="CoOp ZeroshotCLIP")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 3 and all(line.startswith("error: ") for line in lines)
    for part in ("DescribableTextures", "EuroSAT", "ViT-B-16.pt"):
        assert sum(part in line for line in lines) >= 1
    assert recorder() == []
    bench("base2new", "--no-check", datasets="dtd", trainers="CoOp", seeds="1")
    assert len(recorder()) == 2


def test_all_methods_and_all_embedded_data_sets_have_a_name(bench):
    embedded = ["digits", "fashion", "lamplight", "letters", "patterns", "shapes", "shapes_blur", "shapes_noise"]
    embedded.append("shapes_sketch")
    done = bench("base2new", "--dry-run", trainers="ZeroshotCLIP", datasets="all", seeds="1")
    assert [name for name in embedded if f", {name}, " in done.stdout] == embedded and "18 runs" in done.stdout
    done = bench("base2new", "--dry-run", trainers="all", seeds="1")
    able = [method.trainer for method in methods_here() if not method.needs]
    assert all(f"{trainer} tiny, digits" in done.stdout for trainer in able)
    assert "without CuPL, which needs DATASET.DESCRIPTIONS\n" in done.stdout and "CuPL tiny" not in done.stdout
    pairs = ["--dry-run", "--set", "DATASET.DESCRIPTIONS", "texts.json"]
    assert "CuPL tiny, digits, base classes" in bench("base2new", *pairs, trainers="all", seeds="1").stdout
    assert "LinearProbe tiny, digits, 16 shots, seed 1, new classes" not in done.stdout


def test_the_live_view_has_a_line_for_each_run_and_one_for_the_plan(root, recorder, tmp_path):
    command = [sys.executable, str(root / "benchmark.py"), "base2new", "--output", str(tmp_path / "output")]
    command += ["--data", str(tmp_path / "data"), "--jobs", "2"]
    command += ["--trainers", "CoOp", "ZeroshotCLIP", "--datasets", "digits", "--seeds", "1", "2"]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "SLEEP": "1.5", "COLUMNS": "150", "LINES": "40"}
    process = subprocess.Popen(command, env=environment, stdout=theirs, cwd=root)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # how Linux says that the other side has closed
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    views = [re.sub(r"\033\[\dA$", "", view).splitlines() for view in shown.decode().split("\r\033[J")]
    running = re.compile(r"\[-{24}\] 0:\d\d  \w+ tiny, digits, 16 shots, seed \d, base classes: starting")
    whole = re.compile(r"\[#{8}-{16}\] 2/6 runs  0:\d\d, about 0:\d\d left")
    assert any(len(view) == 3 and running.match(view[0]) and running.match(view[1]) for view in views)
    assert any(view and whole.match(view[-1]) for view in views)
    assert "[1/6]" not in shown.decode()
    assert "\033[1m75.00" in shown.decode()  # the best in bold


def test_ctrl_c_stops_the_runs_and_the_next_call_continues(root, recorder, bench, tmp_path):
    command = [sys.executable, str(root / "benchmark.py"), "base2new", "--output", str(tmp_path / "output")]
    command += ["--data", str(tmp_path / "data"), "--jobs", "1"]
    command += ["--trainers", "CoOp", "--datasets", "digits", "--seeds", "1", "2"]
    process = subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, "SLEEP": "600"},
        stdout=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background has them ignore Ctrl-C, and so would the program
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    pid = tmp_path / "calls.pid"
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in printed
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert bench(trainers="CoOp").returncode == 0
    assert len(recorder()) == 1 + 4


@pytest.mark.parametrize(
    ("more", "changes", "parts"),
    [
        ((), {"datasets": "digits digit"}, ['--datasets: unknown "digit" (did you mean "digits"?)', "known: "]),
        ((), {"trainers": "CoOpp"}, ['"CoOpp" (did you mean "CoOp"?)', "known: "]),
        ((), {"trainers": "VPT/tiny_shalow"}, ["configs/trainers/VPT/tiny_shalow.yaml", '"tiny_shallow"']),
        (("--jobs", "0"), {}, ['--jobs: must be a number above 0, not "0"']),
        (("--shots", "many"), {}, ["--shots"]),
        (("--set", "OPTIM.LRR", "1"), {}, ["OPTIM.LRR", "OPTIM.LR"]),
        (("--set", "OPTIM.LR"), {}, ["--set", "pairs"]),
        (("--against", "MuDPTT"), {"trainers": "CoOp MuDPT"}, ['--against "MuDPTT" (did you mean "MuDPT"?)']),
        (("--launcher", "slurm", "--time", "long"), {}, ['--time is "long"']),
    ],
    ids=lambda value: None if isinstance(value, list) else str(value),
)
def test_mistakes_are_one_line_and_start_nothing(more, changes, parts, bench, recorder, tmp_path):
    assert_refused(bench("base2new", *more, **changes), *parts)
    assert recorder() == [] and not (tmp_path / "output").exists()


def test_a_result_of_other_settings_is_refused_with_the_keys(bench, tmp_path):
    assert bench(trainers="CoOp", seeds="1").returncode == 0
    file = tmp_path / "output/base2new/train_base/digits/shots_16/CoOp/tiny/seed1/results.json"
    results = json.loads(file.read_text())
    optim = read_yaml("configs/trainers/CoOp/tiny.yaml")["OPTIM"]
    there = {"OPTIM": {"MAX_EPOCH": 7, "LR": optim["LR"]}, "OUTPUT_DIR": "there"}
    file.write_text(json.dumps({**results, "config": there}))
    changed = f"OPTIM.MAX_EPOCH 7, {optim['MAX_EPOCH']}"
    assert_refused(bench(trainers="CoOp", seeds="1"), str(file), changed, "--variant")


@pytest.mark.parametrize("content", ["{", "[]", '{"metrics": null}'])
def test_a_damaged_result_is_refused_before_anything_runs(content, bench, recorder, tmp_path):
    assert bench(trainers="CoOp", seeds="1").returncode == 0
    file = tmp_path / "output/base2new/test_new/digits/shots_16/CoOp/tiny/seed1/results.json"
    file.write_text(content)
    assert_refused(bench(trainers="CoOp"), str(file))
    assert len(recorder()) == 2


def test_each_gpu_gets_a_run_of_its_own(recorder, tmp_path, monkeypatch):
    from comparison.job import Job
    from comparison.sweep import Task

    monkeypatch.setattr("comparison.workers.gpus", lambda: ["3", "5"])
    given = []
    monkeypatch.setattr(
        "comparison.workers.start_process",
        lambda job, environment, warm: given.append(environment["CUDA_VISIBLE_DEVICES"]) or subprocess.Popen(["true"]),
    )
    workers = Workers()
    assert workers.jobs == 2
    spec = RunSpec("few_shot", "all", "digits", "CoOp", "tiny", shots=1, seed=1)
    tasks = [Task(Job(spec, (), tmp_path / str(index), None, tmp_path)) for index in range(3)]
    workers.start(tasks[:2])
    while workers.exit_code(tasks[0]) is None:
        time.sleep(0.01)
    workers.start(tasks[2:])
    assert given == ["3", "5", "3"]


def test_the_quickstart_takes_its_variables(root, recorder, tmp_path):
    if not (root / ".venv" / "bin" / "python").exists():
        pytest.skip("scripts/setup_venv.sh was not run here")
    environment = {"METHODS": "linear_probe coop", "SEEDS": "1", "DATASETS": "digits", "OUTPUT": str(tmp_path / "out")}
    done = subprocess.run(
        ["bash", str(root / "scripts" / "quickstart.sh"), "--against", "CoOp"],
        env={**os.environ, **environment, "JOBS": "1", "SHOTS": "4"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "base2new: 3 runs, 0 finished before, 1 at a time" in done.stdout
    assert len(recorder()) == 3
    assert any("LinearProbe tiny" in line and line.endswith("1, base only") for line in done.stdout.splitlines())


def test_real_runs_end_in_tables_a_page_and_curves(root, tmp_path):
    command = [sys.executable, str(root / "benchmark.py"), "few_shot", "--trainers", "CoOp", "ZeroshotCLIP"]
    command += ["--datasets", "digits", "--shots", "1", "2", "--seeds", "1", "--set", "OPTIM.MAX_EPOCH", "2"]
    data = few_digits(tmp_path / "data")
    command += ["--output", str(tmp_path / "output"), "--data", str(data), "--against", "ZeroshotCLIP"]
    command += ["--html", str(tmp_path / "report.html"), "--plots", str(tmp_path / "figures"), "--format", "markdown"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    checkpoint = tmp_path / "output/digits/CoOp/tiny_2shots/seed1/prompt_learner/model.pth.tar-2"
    results = json.loads((checkpoint.parents[1] / "results.json").read_text())
    assert results["checkpoint_bytes"] == checkpoint.stat().st_size
    assert f"{results['metrics']['accuracy']:.2f}" in done.stdout
    untrained = tmp_path / "output/ZeroshotCLIP/tiny/digits/results.json"
    assert json.loads(untrained.read_text())["checkpoint_bytes"] is None
    assert (tmp_path / "figures/few-shot_digits.pdf").stat().st_size > 1000
    assert "vs ZeroshotCLIP" in (tmp_path / "report.html").read_text()

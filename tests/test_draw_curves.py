from pathlib import Path

import pytest

import draw_curves
from tests.fake_runs import FakeRuns, add_comparison


@pytest.fixture
def fake(tmp_path, monkeypatch) -> FakeRuns:
    monkeypatch.chdir(tmp_path)
    return FakeRuns(Path("output"))


def test_without_arguments_draws_output_into_upstreams_files(fake, capsys):
    add_comparison(fake)
    assert draw_curves.main([]) == 0
    expected = [f"main_curves/{name}.pdf" for name in ("digits", "letters", "average")]
    assert capsys.readouterr().out.splitlines() == expected
    assert all(Path(name).read_bytes().startswith(b"%PDF") for name in expected)


def test_draws_upstreams_logs(fake, capsys):
    for dataset in ("caltech101", "dtd"):
        for shots, config in ((1, "rn50_ep50"), (16, "rn50")):
            for seed in (1, 2, 3):
                run = f"{dataset}/CoOp/{config}_{shots}shots/nctx16_cscFalse_ctpend/seed{seed}"
                fake.add_log(run, 60 + shots + seed)
        fake.add_log(f"ZeroshotCLIP/rn50/{dataset}", 50)
    assert draw_curves.main(["output", "--save-dir", "curves", "--format", "svg"]) == 0
    expected = [f"curves/{name}.svg" for name in ("caltech101", "dtd", "average")]
    assert capsys.readouterr().out.splitlines() == expected
    text = Path("curves/average.svg").read_text()
    assert ">CoOp<" in text and ">ZeroshotCLIP<" in text and ">average over 2 datasets<" in text


@pytest.mark.parametrize("output", ["nowhere", "empty", "output"])
def test_a_mistake_is_one_line_and_exit_code_2(output, fake, capsys):
    Path("empty").mkdir()
    fake.add_base_to_new("digits", "CoOp/tiny", 1, 80, 70)
    assert draw_curves.main([output]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert output in printed.err
    assert not Path("main_curves").exists()


def test_a_folder_that_cannot_be_written_is_one_line(fake, capsys):
    fake.add_few_shot("digits", "CoOp/tiny", 1, 1, 60)
    Path("file").write_text("")
    assert draw_curves.main(["--save-dir", "file/curves"]) == 2
    assert capsys.readouterr().err.startswith("error: cannot write file/curves/digits.pdf")

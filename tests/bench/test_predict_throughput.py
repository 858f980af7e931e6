"""The comparison of predict.py with the test of a run works from end to end."""

from bench import predict_throughput


def test_a_rate_of_each_side_and_their_ratio_are_told(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["predict_throughput", "--images", "4", "--pairs", "1", "--workers", "0"])
    predict_throughput.main()
    told = capsys.readouterr().out
    assert told.startswith("4 images of 300x200") and "predict.py, images/s" in told and "ratio" in told

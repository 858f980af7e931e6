import csv

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, f1_score

from dassl.config import get_cfg_default
from dassl.evaluation import build_evaluator
from dassl.evaluation import evaluator as evaluator_module
from dassl.utils import UserError

LAB2CNAME = {0: "cat", 1: "dog", 2: "bird", 3: "fish"}


@pytest.fixture
def cfg(tmp_path):
    cfg = get_cfg_default()
    cfg.OUTPUT_DIR = str(tmp_path)
    cfg.VERBOSE = False
    return cfg


def scores_for(predictions):
    return torch.eye(4)[torch.tensor(predictions)]


def test_printed_lines_have_upstreams_form(cfg, capsys):
    evaluator = build_evaluator(cfg, lab2cname=LAB2CNAME)
    for _ in range(400):
        evaluator.process(scores_for([0, 1, 1]), torch.tensor([0, 1, 2]))
    results = evaluator.evaluate()
    assert capsys.readouterr().out == (
        "=> result\n* total: 1,200\n* correct: 800\n* accuracy: 66.7%\n* error: 33.3%\n* macro_f1: 55.6%\n"
    )
    assert list(results)[0] == "accuracy"
    assert (results["correct"], results["total"]) == (800, 1200)
    assert results["error_rate"] == pytest.approx(100 / 3)


def test_metrics_equal_sklearns(cfg, monkeypatch):
    cfg.TEST.COMPUTE_CMAT = True
    monkeypatch.setattr(evaluator_module, "save_confusion_picture", lambda *_: None)  # which takes time
    random = np.random.RandomState(0)
    for _ in range(20):
        y_true, y_pred = random.choice([0, 1, 3], 30), random.randint(0, 4, 30)  # class 2 is predicted, never true
        evaluator = build_evaluator(cfg, lab2cname=LAB2CNAME)
        evaluator.process(scores_for(y_pred[:13]), torch.from_numpy(y_true[:13]))
        evaluator.process(scores_for(y_pred[13:]), torch.from_numpy(y_true[13:]))
        results = evaluator.evaluate()
        expected = 100 * f1_score(y_true, y_pred, average="macro", labels=np.unique(y_true))
        assert results["macro_f1"] == pytest.approx(expected, rel=1e-12)
        assert results["accuracy"] == pytest.approx(100 * np.mean(y_true == y_pred))
        saved = torch.load(f"{cfg.OUTPUT_DIR}/cmat.pt", weights_only=True)
        np.testing.assert_allclose(saved, confusion_matrix(y_true, y_pred, normalize="true", labels=range(4)))


def test_the_confusion_matrix_has_a_row_and_a_column_for_every_class(cfg):
    """Also for one without test images that is never predicted; with the names of the classes in a table."""
    cfg.TEST.COMPUTE_CMAT = True
    names = {0: "cat", 1: 'a "b", c', 2: "café", 3: "dog"}
    evaluator = build_evaluator(cfg, lab2cname=names)
    evaluator.process(scores_for([0, 0, 2, 0]), torch.tensor([0, 0, 2, 2]))
    evaluator.evaluate()
    expected = np.array([[1.0, 0, 0, 0], [0, 0, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(torch.load(f"{cfg.OUTPUT_DIR}/cmat.pt", weights_only=True), expected)
    with open(f"{cfg.OUTPUT_DIR}/cmat.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[1:] == [name for name, *_ in rows] == list(names.values())
    np.testing.assert_array_equal([[float(share) for share in shares] for _, *shares in rows], expected)


def test_per_class_result(cfg, capsys):
    cfg.TEST.PER_CLASS_RESULT = True
    evaluator = build_evaluator(cfg, lab2cname=LAB2CNAME)
    evaluator.process(scores_for([0, 0, 1, 3]), torch.tensor([0, 0, 0, 3]))
    results = evaluator.evaluate()
    assert capsys.readouterr().out.splitlines()[6:] == [
        "=> per-class result",
        "* class: 0 (cat)\ttotal: 3\tcorrect: 2\tacc: 66.7%",
        "* class: 3 (fish)\ttotal: 1\tcorrect: 1\tacc: 100.0%",
        "* average: 83.3%",
    ]
    assert results["perclass_accuracy"] == pytest.approx(250 / 3)


def test_reset_forgets(cfg):
    evaluator = build_evaluator(cfg)
    evaluator.process(scores_for([1]), torch.tensor([0]))
    evaluator.reset()
    evaluator.process(scores_for([0]), torch.tensor([0]))
    assert evaluator.evaluate()["total"] == 1


def test_unknown_evaluator_is_an_error(cfg):
    cfg.TEST.EVALUATOR = "Clasification"
    with pytest.raises(UserError, match='did you mean "Classification"'):
        build_evaluator(cfg)

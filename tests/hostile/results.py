"""results.json, log.txt and predictions.csv of finished runs with damaged bytes or other values, through tables and the
report page.
"""

from __future__ import annotations

import copy
import json
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

from hypothesis import strategies as st

from comparison import page
from comparison.run_spec import RunSpec
from comparison.runs import read_runs
from comparison.tables import all_tables
from tests.fake_runs import COST, VERSIONS, log
from tests.hostile.attempts import Kind
from tests.hostile.mutations import damaged, restructured

CONFIG = {"DATASET": {"NAME": "digits", "NUM_SHOTS": 16}, "OPTIM": {"LR": 0.002, "MAX_EPOCH": 5}, "SEED": 1}
RESULTS = {
    "run": RunSpec("few_shot", "all", "digits", "CoOp", "tiny", shots=16, seed=1).to_dict(),
    "version": "1.1.0",
    "backbone": "tiny",
    "metrics": {"accuracy": 75.0, "total": 400},
    "sampling_error": 2.2,
    "learned_parameters": COST["CoOp"][0],
    "checkpoint_bytes": 8192,
    "peak_memory_mb": 812.5,
    "seconds": {"train": 10.0, "test": 1.0, "total": 15.0},
    "environment": VERSIONS,
    "uses": ["settings"],
    "predictions": "predictions.csv",
    "tested_model": {"model_dir": "output/base2new/train_base/digits/shots_16/CoOp/tiny/seed1", "epoch": 5},
    "config": {**CONFIG, "INPUT": {"SIZE": "(32, 32)"}, "MODEL": {"BACKBONE": {"PATH": "/weights/a.pt"}}},
}
RUN = "digits/{}/tiny_16shots/seed{}"
PREDICTIONS = (
    b"path,label,prediction,probability,rank,label_id,prediction_id\n"
    b'"digits/a, b.png","zero","zero",0.98,1,0,0\n"/dev/zero","caf\xc3\xa9","zero",0.51,2,1,0\n'
    b'"\xff.png","","a ""b""",1.0,3,2,1\n'
)


class Tags(HTMLParser):
    """What a browser would run or fetch."""

    def __init__(self, text: str):
        super().__init__()
        self.scripts, self.dangerous = 0, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        for name, value in attributes:
            leads = str(value).strip().lower() if name in ("src", "href") else ""
            if name.startswith("on") or leads.startswith("javascript"):
                self.dangerous.append((tag, name, value))


def load(content: tuple[str, bytes], folder: Path) -> None:
    name, written = content
    trainer = "<img src=x onerror=alert(1)>" if name == "name" else "CoOp"
    whole = json.dumps(RESULTS).encode()
    for seed in (1, 2):
        run = folder / RUN.format(trainer, seed)
        run.mkdir(parents=True)
        if seed == 1 and name == "log.txt":
            (run / "log.txt").write_bytes(written)
        elif seed == 1 and name == "predictions.csv":
            (run / "results.json").write_bytes(whole)
            (run / "predictions.csv").write_bytes(written)
        else:
            (run / "results.json").write_bytes(written if seed == 1 else whole)
            (run / "log.txt").write_bytes(written if seed == 1 else b"")
    runs = read_runs(folder)
    tables = all_tables(runs, None)
    with mock.patch.object(page, "all_figures", lambda runs: {}):  # a second each, and made of the same numbers
        text = page.render_page(runs, tables, datetime(2026, 1, 1, tzinfo=timezone.utc))
    tags = Tags(text)
    assert tags.scripts == 2 and not tags.dangerous, tags.dangerous


def _as_json(value: object) -> bytes:
    return json.dumps(value).encode()


_WITHOUT_MODEL = {**copy.deepcopy(RESULTS), "tested_model": None, "few_shot": {"file": "few_shot.json", "hash": "x"}}
RESULT_FILES = Kind(
    "results, logs, report pages",
    st.one_of(
        st.tuples(st.sampled_from(["results.json", "name"]), restructured([RESULTS, _WITHOUT_MODEL]).map(_as_json)),
        st.tuples(st.just("results.json"), damaged([_as_json(RESULTS)])),
        st.tuples(st.just("log.txt"), damaged([log(CONFIG, 75.0).encode()])),
        st.tuples(st.just("predictions.csv"), damaged([PREDICTIONS])),
    ),
    load,
    13,
)

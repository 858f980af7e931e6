"""Small parts of the Dassl API compute what upstream's code computes: tests/golden/make_upstream_values.py ran it."""

import json
from pathlib import Path

import pytest
import torch

from tests.upstream_cases import CASES, run

VALUES = json.loads((Path(__file__).parents[2] / "golden" / "upstream_values.json").read_text(encoding="utf-8"))


def test_every_case_has_values():
    assert list(VALUES) == list(CASES)


@pytest.mark.parametrize("case", CASES)
def test_case_gives_upstreams_values(case):
    found = run(case)
    assert len(found) == len(VALUES[case])
    for ours, upstreams in zip(found, VALUES[case], strict=True):
        torch.testing.assert_close(torch.tensor(ours), torch.tensor(upstreams), rtol=2e-4, atol=1e-5)

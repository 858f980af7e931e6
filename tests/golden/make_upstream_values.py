"""Write upstream_values.json: the cases of tests/upstream_cases.py on upstream Dassl's code.

python tests/golden/make_upstream_values.py CLONE        a clone of KaiyangZhou/Dassl.pytorch
"""

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).resolve()
    sys.path.insert(0, str(here.parents[2]))
    from tests.upstream_cases import CASES, run

    sys.path.insert(0, sys.argv[1])
    import dassl

    assert Path(dassl.__file__).is_relative_to(Path(sys.argv[1]).resolve()), dassl.__file__
    values = {case: [[float(f"{value:.7g}") for value in tensor] for tensor in run(case)] for case in CASES}
    here.with_name("upstream_values.json").write_text(json.dumps(values) + "\n", encoding="utf-8")

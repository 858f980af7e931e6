"""What scripts/run.sh starts: `comparison.scripts` of this repository, from any folder."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from comparison.scripts import main
    from support import standard_streams

    sys.exit(standard_streams.run(lambda: main(sys.argv[1:])))

"""All kinds of hostile inputs."""

from tests.hostile.archives import ARCHIVES
from tests.hostile.attempts import Kind
from tests.hostile.checkpoints import BACKBONES, LEARNED
from tests.hostile.configs import CONFIGS
from tests.hostile.images import IMAGES
from tests.hostile.lists import LISTS
from tests.hostile.results import RESULT_FILES
from tests.hostile.runs import RUNS


def by_name() -> dict[str, Kind]:
    return {
        "CONFIGS": CONFIGS,
        "LISTS": LISTS,
        "RESULT_FILES": RESULT_FILES,
        "LEARNED": LEARNED,
        "BACKBONES": BACKBONES,
        "IMAGES": IMAGES,
        "ARCHIVES": ARCHIVES,
        "RUNS": RUNS,
    }

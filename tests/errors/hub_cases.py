"""Cases of `datasets.prepare --from huggingface`: the repository of copies, and archives that are not what they should be."""

from __future__ import annotations

import io
import zipfile

import huggingface_hub
from huggingface_hub import constants

from datasets.hub_copies import HUB_COPIES, REPOSITORY
from tests.datasets.fake_hub import FakeHub
from tests.errors.cases import case, cases
from tests.errors.person import Person

HUB = "--from huggingface"


def point_to(person: Person, endpoint: str) -> None:
    person.patch.setattr(constants, "ENDPOINT", endpoint)
    person.patch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    huggingface_hub.close_session()


def prepared(person: Person, name: str, members: dict[str, str], words: str = "", has_hash: bool = True) -> None:
    """Prepare a dataset whose archive on the Hub has these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path, content in members.items():
            archive.writestr(path, content)
    with FakeHub() as hub:
        published = f"{REPOSITORY}/{HUB_COPIES[name].file}"
        hub.files[published] = file.getvalue()
        hub.plain = set() if has_hash else {published}
        point_to(person, hub.endpoint)
        person.prepare(f"{words or name} {HUB}")
    person.expected_code = 1


NOT_LAID_OUT = "<file> is not <data set> as CoOp lays it out: <reason>; nothing was unpacked"
SPLIT = "split_zhou_DescribableTextures.json"
case('"<name>" is not in the repository of --from huggingface: choose <names>, or all')(
    lambda person: person.prepare(f"imagenet {HUB}")
)
cases(
    prepared,
    {
        NOT_LAID_OUT.replace("<reason>", "it holds no <split file>"): ("dtd", {"dtd/images/a/1.jpg": ""}),
        NOT_LAID_OUT.replace("<reason>", "its <split file> lists no images"): (
            "dtd",
            {SPLIT: '{"train": [], "val": [], "test": []}'},
        ),
        NOT_LAID_OUT.replace("<reason>", "its <split file> is not a split file (<reason>)"): ("dtd", {SPLIT: "[]"}),
        NOT_LAID_OUT.replace(
            "<reason>",
            "of the <n> images that its <split file> lists, no folder of it holds all: <n> are in none, <paths>",
        ): ("dtd", {SPLIT: '{"train": [["a/1.jpg", 0, "a"]], "val": [], "test": []}'}),
        NOT_LAID_OUT.replace("<reason>", "the images that its <split file> lists are in several folders: <folders>"): (
            "dtd",
            {
                SPLIT: '{"train": [["a/1.jpg", 0, "a"], ["a/2.jpg", 0, "a"]], "val": [], "test": []}',
                "x/a/1.jpg": "",
                "y/a/2.jpg": "",
            },
        ),
        NOT_LAID_OUT.replace("<reason>", "it holds no folders of images that are named as ImageNet's classes"): (
            "imagenet_r",
            {"imagenet-r/cat/1.jpg": ""},
        ),
        NOT_LAID_OUT.replace("<reason>", "it has no folder that holds <files>"): (
            "fgvc_aircraft",
            {"images/1.jpg": ""},
        ),
        "<file> is not laid out, as it cannot be read: <reason>": (
            "dtd",
            {SPLIT: '{"train": [["a/1.jpg", 0, "a"]], "val": [], "test": []}', "images/a/1.jpg": ""},
        ),
        "<address> has no <file>: get <data set> in another way": ("dtd", {}, "sun397"),
        "<address> has no hash of its <file>: get <data set> in another way": ("dtd", {}, "", False),
    },
)


@case("cannot list <address> (<reason>): mend the connection, or name a mirror of the Hub by HF_ENDPOINT")
def no_connection(person):
    point_to(person, "http://127.0.0.1:9")
    person.prepare(f"all {HUB}")
    person.expected_code = 1

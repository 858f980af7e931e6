"""What is installed and fetched: pinned, hashed, over https, with a known licence."""

import ast
import re
from importlib.metadata import version
from itertools import product

import open_clip
import pytest
from open_clip import pretrained
from packaging.requirements import Requirement

from clip import weights
from datasets.sources import SOURCES
from scripts.licences import ROOT, UNKNOWN, document, licences, locked, normal

LOCK = (ROOT / "requirements.txt").read_text(encoding="utf-8")
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
SYSTEMS = ("linux", "darwin")
MD5 = {"eurosat", "fgvc_aircraft"}  # of which nothing better is published


def requirements(text: str) -> list[Requirement]:
    """Those of a requirements file, without the hashes."""
    lines = [re.sub("#.*", "", line) for line in text.replace("\\\n", " ").splitlines()]
    return [Requirement(line.partition(" --hash")[0]) for line in lines if line.strip()]


def versions(requirements: list[Requirement], python: str, system: str) -> dict[str, list[str]]:
    """{package: versions that are asked for} on that system."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": system}
    found: dict[str, list[str]] = {}
    for requirement in requirements:
        if requirement.marker is None or requirement.marker.evaluate(environment):
            found.setdefault(normal(requirement.name), []).append(str(requirement.specifier).removeprefix("=="))
    return found


def loose_bounds() -> list[Requirement]:
    """Those of setup.py that the quickstart and the tests need."""
    (call,) = [
        node
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"
    ]
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    extras = ast.literal_eval(given["extras_require"])
    return [
        Requirement(text) for text in ast.literal_eval(given["install_requires"]) + extras["test"] + extras["export"]
    ]


def test_every_line_of_the_lock_is_one_version_with_hashes():
    blocks = re.split(r"\n(?=\S)", LOCK[LOCK.index("\n", LOCK.index("lock.sh")) + 1 :].rstrip("\n"))
    assert len(blocks) == len(requirements(LOCK))
    for block in blocks:
        assert re.match(r"[\w.-]+==[\w.]+( ; [^\\]+)? \\\n", block), block[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block[:80]
        assert "://" not in block and "@" not in block.partition("\n")[0], block[:80]


@pytest.mark.parametrize(("python", "system"), list(product(PYTHONS, SYSTEMS)))
def test_the_lock_has_what_a_person_pinned_within_the_bounds_of_setup_py(python, system):
    pinned = versions(requirements((ROOT / "requirements.in").read_text(encoding="utf-8")), python, system)
    found = versions(requirements(LOCK), python, system)
    assert all(len(several) == 1 for several in found.values())
    assert {name: found.get(name) for name in pinned} == pinned
    for bound in loose_bounds():
        (locked_version,) = found[normal(bound.name)]
        assert bound.specifier.contains(locked_version), (str(bound), locked_version)


def test_installing_compares_the_hashes():
    text = (ROOT / "scripts" / "setup_venv.sh").read_text(encoding="utf-8")
    assert re.search(r"pip install [^|&]*--require-hashes [^|&]*-r requirements.txt", text)
    assert text.count("pip install") == 1


def test_the_licence_of_every_locked_package_is_in_the_document():
    written = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in written.splitlines() if line[:2] == "| "][1:]
    packages = locked(LOCK)
    assert [row[:2] for row in rows] == [[each.name, ", ".join(each.versions)] for each in packages.values()]
    told = {normal(name): licence for name, _, licence, _ in rows}
    assert {name for name, licence in told.items() if licence == UNKNOWN} == {"cuda-toolkit"}  # names of others alone
    assert "\n".join(document(packages, told)) + "\n" == written
    here = licences()
    same = [name for name, package in packages.items() if name in here and version(name) == package.versions[0]]
    assert {name: here[name] for name in same} == {name: told[name] for name in same}


# downloads


def code_files() -> list[str]:
    files = [*ROOT.glob("*.py"), *ROOT.glob("[a-z]*/**/*.py"), *ROOT.glob("scripts/**/*.sh"), ROOT / ".ci" / "run"]
    paths = [file.relative_to(ROOT) for file in files]
    return [path.as_posix() for path in paths if path.parts[0] not in ("tests", "build", "data", "output")]


def test_nothing_is_fetched_over_http():
    for file in code_files():
        text = (ROOT / file).read_text(encoding="utf-8")
        assert "http://" not in text, file
        assert not re.search(r"\b(curl|wget)\b", text), file


def test_every_fetch_goes_through_one_door():
    """urllib, which verified_download alone calls, is the only way to the network beside open_clip's."""
    callers = {
        file
        for file in code_files()
        if re.search(
            r"^ *(import|from) (urllib\.request|requests|http\.client|socket|ftplib)", (ROOT / file).read_text(), re.M
        )
    }
    assert callers == {"support/verified_download.py"}


def test_checkpoints_of_openai_have_their_hash_in_the_address():
    for name, url in weights.MODELS.items():
        if name != "tiny":
            assert re.fullmatch(r"https://[\w./-]+/[0-9a-f]{64}/[\w.-]+\.pt", url), name


def test_archives_of_data_sets_have_an_address_and_a_hash():
    archives = [(name, archive) for name, source in SOURCES.items() for archive in source.archives]
    assert archives
    for name, archive in archives:
        assert archive.url == "" or archive.url.startswith("https://"), archive.name
        kind = "md5:[0-9a-f]{32}" if name in MD5 else "sha256:[0-9a-f]{64}"
        assert re.fullmatch(kind, archive.digest), archive.name
        assert archive.size > 0


def test_checkpoints_of_open_clip_are_compared_with_a_hash():
    """By the file's name in the Hub's cache, or by open_clip with one in the address: it prefers the Hub."""
    for name, tag in open_clip.list_pretrained():
        published = open_clip.get_pretrained_cfg(name, tag)
        url = published.get("url", "")
        hashed = re.search(r"openaipublic.*/[0-9a-f]{64}/|mlfoundations.*-[0-9a-f]{8}\.pt$", url)
        assert published.get("hf_hub") or (url.startswith("https://") and hashed), (name, tag)
    assert pretrained.download_pretrained.__defaults__[0] is True  # prefer_hf_hub

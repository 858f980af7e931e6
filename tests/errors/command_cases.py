"""Cases of any command, and of the shell scripts."""

from __future__ import annotations

import builtins
import sys

import train
from tests.errors.cases import case, cases
from tests.errors.person import ROOT, Person
from tests.fake_runs import FakeRuns
from tests.tree import copy_tree


@case("<reason> (see <command> --help)")
def misspelt_flag(person):
    person.type(train.run, "--sed", "1")


@case("<reason>: <file>")
def no_such_folder(person):
    import parse_test_res

    person.type(parse_test_res.main, "nowhere")


@case("<reason>: free some space, then give the same command again")
def output_redirected_to_a_disk_that_fills(person):
    really = builtins.print

    def print_to_a_full_disk(*words, file=None, **options):
        if file is None:
            raise OSError(28, "No space left on device")
        really(*words, file=file, **options)

    FakeRuns(person.output).add_few_shot("digits", "CoOp/tiny", 4, 1, 60.0)
    person.patch.setattr(builtins, "print", print_to_a_full_disk)
    person.benchmark("report output")


@case('Python package "<package>" is missing: bash scripts/setup_venv.sh installs what is needed into .venv')
def package_that_is_not_installed(person):
    really = builtins.__import__

    def without_open_clip(name, *args, **kwargs):
        if name.startswith("open_clip"):
            raise ModuleNotFoundError("No module named 'open_clip'", name="open_clip")
        return really(name, *args, **kwargs)

    person.patch.setattr(builtins, "__import__", without_open_clip)
    person.train("MODEL.BACKBONE.NAME open_clip:ViT-B-16/openai")


@case(
    'Python package "<package>" is missing, which <file> imports: bash scripts/setup_venv.sh installs what our own '
    "files need into .venv; for a file of others install the package, or take the file out"
)
def trainer_file_of_others_whose_package_is_not_installed(person):
    tree = copy_tree(person.folder / "tree")
    person.write("tree/trainers/released.py", "from plotnine_of_others import ggplot\n")
    person.shell(sys.executable, str(tree / "train.py"), "--trainer", "CoOp")


def script(person: Person, name: str, *words: str) -> None:
    """A script of scripts/."""
    person.shell("bash", str(ROOT / "scripts" / name), *words, DATA=str(person.embedded))


cases(
    script,
    {
        '<name> must be a number, not "<text>"': ("coop/base2new_train.sh", "digits", "one"),
        'unknown protocol "<name>" (base2new_train, base2new_test, xd_train, xd_test, few_shot, zeroshot)': (
            "run.sh",
            "base2old",
            "coop",
        ),
        "usage: <script>.sh <arguments> [KEY VALUE ...]": ("coop/base2new_train.sh", "digits"),
        "no <folder>scripts/<method>/method.yaml, which names the method's trainer": (
            "run.sh",
            "xd_train",
            "koop",
            "1",
        ),
        "no finished training run in <folder>, first run: <settings>bash <root>scripts/<script and arguments>": (
            "coop/base2new_test.sh",
            "digits",
            "1",
        ),
        "<trainer> knows only the classes it was trained on: there is nothing to test on the new classes": (
            "linear_probe/base2new_test.sh",
            "digits",
            "1",
        ),
        "usage: main.sh DATASET CFG CTP NCTX SHOTS CSC [KEY VALUE ...]": ("coop/main.sh", "digits"),
        "usage: eval.sh DATASET CFG [KEY VALUE ...]": ("coop/eval.sh", "digits"),
    },
)


def set_up(person: Person, interpreter: str | None) -> None:
    """scripts/setup_venv.sh of a copy of the repository, where it takes ``interpreter``, a script, for Python."""
    copy = person.write("scripts/setup_venv.sh", (ROOT / "scripts" / "setup_venv.sh").read_text())
    person.write("requirements.txt")
    python = person.folder / "python"
    if interpreter is not None:
        python.write_text(f"#!/bin/sh\n{interpreter}\n")
        python.chmod(0o755)
    person.shell("bash", str(copy), PYTHON=str(python))


cases(
    set_up,
    {
        "<interpreter> not found: install Python 3.10 or newer": (None,),
        "<interpreter> is <version>; Python 3.10 or newer is needed, name it with PYTHON=/path/to/python3": (
            'case "$*" in --version) echo Python 3.9.2 ;; *) exit 1 ;; esac',
        ),
        "<interpreter> cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv)": (
            'case "$*" in *venv*) exit 1 ;; esac',
        ),
    },
)


@case("cannot install requirements.txt, the whole output is in <file>")
def no_connection(person):
    fake = 'case "$*" in *--version) ;; *install*) exit 1 ;; esac'
    set_up(
        person,
        f'for last; do :; done; if [ "$2" = venv ]; then mkdir -p "$last/bin"; printf "%s\\n" "#!/bin/sh" \'{fake}\' '
        '>"$last/bin/python"; chmod +x "$last/bin/python"; fi',
    )

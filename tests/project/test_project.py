"""The project's files agree with each other: versions, pins, addresses, the README, what an import
brings.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from readme import README, rendered

import tresnet_lite
from tresnet_lite.book.chapters import address, book_address, release_tag
from tresnet_lite.book.readme import pictures
from tresnet_lite.checkout import ROOT


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def text_files() -> list[Path]:
    """The files that are, or would be, committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout, so what is committed is not known")
    paths = [ROOT / name for name in names if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()]


def test_importing_is_light():
    """torch may import NumPy by itself, so a bare `import torch` is what the package is compared
    with.
    """
    heavy = [
        "timm",
        "torchvision",
        "pandas",
        "matplotlib",
        "yaml",
        "IPython",
        "papermill",
        "nbformat",
    ]
    program = "import sys, tresnet_lite; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules = set(result.stdout.split())
    assert not set(heavy) & {module.partition(".")[0] for module in modules}
    rooms = {f"tresnet_lite.{path.parent.name}" for path in ROOT.glob("tresnet_lite/*/__init__.py")}
    # The core needs none of the rooms around it, but the one below it that reads files of weights.
    assert rooms & modules == {"tresnet_lite.layers", "tresnet_lite.checkpoints"}


def test_one_version():
    version = tresnet_lite.__version__
    assert f'\nversion = "{version}"\n' in read("pyproject.toml")
    assert yaml.safe_load(read("CITATION.cff"))["version"] == version
    assert release_tag() == f"v{version}"


def test_one_torch_pin():
    pin = re.search(r"^torch==(\S+)$", read("constraints.txt"), re.MULTILINE)[1]
    vision = re.search(r"^torchvision==(\S+)$", read("constraints.txt"), re.MULTILINE)[1]
    assert f'"torch=={pin}", "torchvision=={vision}"' in read("pyproject.toml")
    assert f"torch=={pin}+cpu\ntorchvision=={vision}+cpu\n" in read("binder/requirements.txt")
    conda = yaml.safe_load(read("environment.yml"))["dependencies"]
    assert (
        f"pytorch={pin.rpartition('.')[0]}" in conda
        and f"torchvision={vision.rpartition('.')[0]}" in conda
    )


def test_constraints_name_no_index():
    assert not re.search(r"://|--(extra-)?index|--find-links|@ ", read("constraints.txt"))


def test_the_repository_address_is_that_of_the_configuration():
    """Move the repository by changing _config.yml; this test then lists what else names the old
    address.
    """
    owner_and_name = "/".join(address().split("/")[-2:])
    name = address().split("/")[-1]
    for path in text_files():
        text = path.read_text(encoding="utf-8")
        if path != Path(__file__):
            known = text.count(owner_and_name) + text.count(book_address())
            assert text.count(name) == known, path


def test_no_path_of_a_machine():
    pattern = re.compile(r"(?<![\w.:/~$}])/(home|root|Users|work|mnt)/\w")
    # tests plant such paths
    shipped = [path for path in text_files() if ROOT / "tests" not in path.parents]
    assert [path for path in shipped if pattern.search(path.read_text(encoding="utf-8"))] == []


def test_make_lists_its_commands():
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for command in ("setup", "reproduce", "test", "book", "serve", "clean", "lint"):
        assert re.search(rf"^  make {command} +\w", listed, re.MULTILINE), command


@pytest.mark.parametrize("page", ["book/discrepancies.md", "SECURITY.md"])
def test_pages_name_tests_that_exist(page):
    named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", read(page))
    assert named
    for file, function in named:
        (path,) = (ROOT / "tests").rglob(file)
        assert f"def {function}" in path.read_text(encoding="utf-8"), (file, function)


def test_the_readme_is_current():
    text = README.read_text(encoding="utf-8")
    assert text == rendered(text), "run: make readme"


def test_the_pictures_of_the_readme_are_current_and_there():
    shown = re.findall(r'(?:src|srcset)="(book/\S+)"', README.read_text(encoding="utf-8"))
    assert set(shown) == {place.as_posix() for place in pictures()} and len(shown) == 2
    for place, svg in pictures().items():
        assert read(place) == svg, "run: make readme"


def test_the_first_screen_leads_to_the_book():
    first = README.read_text(encoding="utf-8").partition("## ")[0]
    assert book_address() in first and first.count("| **") == 5 and "<picture>" in first
    assert book_address().endswith(f".github.io/{address().split('/')[-1]}/")


def test_a_readme_without_markers_is_refused():
    with pytest.raises(ValueError, match="needs the markers"):
        rendered("# A README\n")

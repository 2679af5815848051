"""What comes from outside steers no terminal: not by any name, nor by any message."""

import ast
import dataclasses
import io
import os
import re
import subprocess
import sys

import pytest
import torch
from helpers import PROVENANCE, write_notebook
from payloads import PAYLOADS
from PIL import Image
from planted import speed

from tresnet_lite import create_model
from tresnet_lite.bench import __main__ as bench
from tresnet_lite.book.execute import execute_all
from tresnet_lite.book.project import Project
from tresnet_lite.checkout import ROOT
from tresnet_lite.claims import __main__ as claims
from tresnet_lite.evaluate import __main__ as evaluate
from tresnet_lite.records import append, text
from tresnet_lite.records.text import for_terminal, printable
from tresnet_lite.train import __main__ as train

# What notebooks call prints into notebooks; a device's name is printed for another process.
IN_NOTEBOOKS = ("experiments/", "counting/kept.py")
# The second shows how much of a download is there, over and over on one line, in a text of its own.
NAMED = {"records/text.py", "checkpoints/download.py"}

# Those that a file can be called by.
NAMES = {
    name: PAYLOADS[name].replace("/", "∕")
    for name in ("terminal", "next line", "right to left", "directive")
}
hostile = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)


def assert_harmless(capsys):
    """All that was printed can be seen, and some was printed."""
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert said.strip() and all(c.isprintable() or c in "\n\xa0" for c in said), ascii(said)
    return said


def fill(folder, classes, files=("0.png", "1.png", "2.png", "3.png")):
    for name in classes:
        (folder / name).mkdir(parents=True)
        for file in files:
            Image.new("RGB", (8, 8)).save(folder / name / file)


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_lines_stay_and_the_rest_is_seen(payload):
    shown = for_terminal(f"first\n{payload}")
    assert shown.count("\n") == 1 + payload.count("\n")
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert for_terminal("ünï → “x”\n\n  y") == "ünï → “x”\n\n  y"


def test_names_that_are_no_unicode_can_be_printed():
    name = os.fsdecode(b"a\xff.jpg")
    with pytest.raises(UnicodeEncodeError):
        name.encode()
    assert for_terminal(name) == "a\N{REPLACEMENT CHARACTER}.jpg"


def test_programs_print_by_say_alone():
    package, printing = ROOT / "tresnet_lite", set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name) and node.id == "print":
                printing.add(path.relative_to(package).as_posix())
    assert {name for name in printing if not name.startswith(IN_NOTEBOOKS)} <= NAMED
    assert "records/text.py" in printing


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("program", [train, evaluate, bench, claims])
def test_an_unknown_argument_is_printed_as_text(capsys, program, payload):
    """As of `*.jsonl`, where a folder holds a stranger's file."""
    command = {bench: ["contribute", "a"], evaluate: ["--data", "a"]}.get(program, [])
    with pytest.raises(SystemExit):
        program.main([*command, payload])
    assert "error: un" in assert_harmless(capsys)


def test_every_program_has_such_a_parser():
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tresnet_lite").rglob("*.py")]
    assert sum("(argparse.ArgumentParser)" in text for text in texts) == 1
    assert not any("ArgumentParser(" in text for text in texts)


@hostile
def test_training_on_hostile_names(tmp_path, capsys, name):
    """A class, an image that cannot be read, the folder itself, and the run's."""
    folder = tmp_path / name
    for part in ("train", "val"):
        fill(folder / part, ("a", name))
    (folder / "train" / "a" / f"{name}.png").write_bytes(b"\x1b[31m")
    quick = ["--width", "4", "--depths", "1,1,1,1", "--epochs", "1", "--batch", "2", "--size", "20"]
    quick += ["--no-tensorboard", "--workers", "0", "--device", "cpu", "--recipe", "digits"]
    out = tmp_path / f"run {name}"
    assert train.main([*quick, "--data", str(folder), "--out", str(out)]) == 0
    said = assert_harmless(capsys)
    (line,) = (line for line in said.splitlines() if line.startswith("skipped"))
    assert printable(f"{name}.png") in line and "UnidentifiedImageError" in line

    (folder / "val" / name).rename(folder / "val" / f"other {name}")
    assert train.main([*quick, "--data", str(folder), "--out", str(out)]) == 2
    assert printable(name) in assert_harmless(capsys)


@hostile
def test_evaluating_hostile_names(tmp_path, capsys, name):
    """The weights' file, its keys, the folder of images, a class and an image."""
    folder, weights = tmp_path / name, tmp_path / f"{name}.pth"
    fill(folder, ("a", name))
    (folder / "a" / f"{name}.png").write_bytes(b"")
    state = create_model("tresnet_m", num_classes=2).state_dict()
    torch.save(state, weights)
    command = ["--model", "tresnet_m", "--weights", str(weights), "--data", str(folder)]
    command += ["--size", "32", "--workers", "0", "--device", "cpu", "--keep", str(tmp_path / "k")]
    command += ["--records", str(tmp_path / "r.jsonl")]
    assert evaluate.main(command) == 0
    assert "top-1" in assert_harmless(capsys)

    torch.save({**state, name: torch.zeros(1)}, weights)
    assert evaluate.main(command) == 2
    refused = "this is not a checkpoint" if not name.isprintable() else "error:"
    assert refused in assert_harmless(capsys)


@hostile
def test_records_of_hostile_files_and_devices(tmp_path, record_file, monkeypatch, capsys, name):
    """In `contribute` and in the ledger, with the reader's check taken away."""
    monkeypatch.setattr(text, "check_text", lambda field, text: None)
    here = dataclasses.replace(PROVENANCE, device=name, commit=name)
    append(tmp_path / f"{name}.jsonl", *records(here))
    append(record_file, *records(here))
    assert bench.main(["contribute", str(tmp_path / f"{name}.jsonl")]) == 2
    assert printable(name).split()[0] in assert_harmless(capsys)
    assert claims.main([]) == 0
    assert printable(name).split()[0] in assert_harmless(capsys)
    (tmp_path / f"{name}.jsonl").write_text(f'{{"{name}": 1}}\n')
    assert bench.main(["contribute", str(tmp_path / f"{name}.jsonl")]) == 2
    assert_harmless(capsys)


def records(provenance):
    for model in ("tresnet_m", "resnet50"):
        for phase in ("training", "inference"):
            record = speed("table3", model, phase, 90.0)
            yield dataclasses.replace(record, provenance=provenance)


@hostile
def test_a_notebook_that_fails_with_a_hostile_message(tmp_path, capsys, name):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").touch()
    write_notebook(tmp_path / "notebooks" / "01_fails.ipynb", f"raise ValueError({name!r})")
    (failure,) = execute_all(Project(tmp_path), "smoke")
    assert name.split("\n")[0] in str(failure)
    said = assert_harmless(capsys)
    assert re.search("01_fails.*FAILED in", said)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_a_terminal_without_unicode_gets_what_it_can_show(encoding):
    """A question mark in the place of the rest, by `say` and in a parser's help."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    parser = text.Parser(prog="p", description="ResNet50 → 4×, “x” …")
    parser.print_help(stream)
    text.say("ResNet50 → 4×, “x” …", file=stream)
    shown = stream.buffer.getvalue().decode(encoding)
    assert shown.count("ResNet50") == 2
    expected = "ResNet50 → 4×, “x” …".encode(encoding, "replace").decode(encoding)
    assert shown.endswith(f"{expected}\n")


HEAD = """
import sys
from tresnet_lite.records.text import say
for line in range(100_000):
    say(f"line {line}")
say("went on", file=sys.stderr)
"""


def test_a_closed_pipe_ends_the_output_and_not_the_program():
    program = [sys.executable, "-c", HEAD]
    with subprocess.Popen(program, stdout=-1, stderr=-1, text=True) as running:
        assert running.stdout.readline() == "line 0\n"
        running.stdout.close()
        assert running.stderr.read() == "went on\n"
    assert running.returncode == 0

"""`make reproduce`: what is executed again, what survives a failure, and what the book shows."""

import os
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch
from helpers import write_notebook

from tresnet_lite.book import __main__ as reproduce
from tresnet_lite.book import device, execute, freshness
from tresnet_lite.book.project import Project
from tresnet_lite.checkout import ROOT
from tresnet_lite.claims.ledger import EVIDENCE
from tresnet_lite.records import collect, store
from tresnet_lite.records.provenance import RUN


def cell_outputs(path: Path) -> str:
    """All that the notebook's cells printed."""
    notebook = nbformat.read(path, as_version=4)
    return "".join(o.get("text", "") for c in notebook.cells for o in c.get("outputs", []))


@pytest.fixture
def project(tmp_path):
    """A checkout in small: a package, data, and one notebook."""
    for name in ("tresnet_lite", "data", "notebooks", "book"):
        (tmp_path / name).mkdir()
    (tmp_path / "tresnet_lite" / "part.py").write_text("a = 1\n")
    (tmp_path / "data" / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "book" / "page.md").write_text("# Page\n")
    write_notebook(tmp_path / "notebooks" / "01_one.ipynb", "print(profile)")
    return Project(tmp_path)


def key(project, profile="smoke"):
    return execute.notebook_key(project, project.notebooks()[0], profile)


def edit_cell(project):
    write_notebook(project.notebooks()[0], "print(profile, 1)")


def tag_cell(project):
    notebook = nbformat.read(project.notebooks()[0], as_version=4)
    notebook.cells[-1].metadata.tags = ["nbval-ignore-output"]
    nbformat.write(notebook, project.notebooks()[0])


@pytest.mark.parametrize(
    "change",
    [
        edit_cell,
        tag_cell,
        lambda p: (p.root / "tresnet_lite" / "part.py").write_text("a = 2\n"),
        lambda p: (p.root / "tresnet_lite" / "new.py").write_text(""),
        lambda p: (p.root / "tresnet_lite" / "part.py").rename(
            p.root / "tresnet_lite" / "moved.py"
        ),
        lambda p: (p.root / "data" / "table.csv").write_text("a,b\n1,3\n"),
        lambda p: (p.root / "notebooks" / "photograph.jpg").write_bytes(b"\xff"),
    ],
    ids=["cell", "tag", "source", "new source", "renamed source", "data", "picture"],
)
def test_a_change_makes_a_notebook_stale(project, change):
    before = key(project)
    change(project)
    assert key(project) != before


def test_profile_and_torch_make_a_notebook_stale(project, monkeypatch):
    before = key(project)
    assert key(project, "cpu") != before
    monkeypatch.setattr(torch, "__version__", "0.0.0")
    assert key(project) != before


def test_outputs_prose_and_caches_leave_a_notebook_fresh(project):
    before = key(project)
    notebook = nbformat.read(project.notebooks()[0], as_version=4)
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="smoke\n")]
    nbformat.write(notebook, project.notebooks()[0])
    (project.root / "book" / "page.md").write_text("# Another page\n")
    (project.root / "tresnet_lite" / "__pycache__").mkdir()
    (project.root / "tresnet_lite" / "__pycache__" / "part.pyc").write_bytes(b"0")
    write_notebook(project.root / "notebooks" / "02_two.ipynb", "print(2)")
    assert key(project) == before


def test_a_failing_notebook_does_not_stop_the_rest(project, capsys):
    folder = project.root / "notebooks"
    write_notebook(
        folder / "02_fails.ipynb", "print('so far')", "answer = 1\nanswer / 0", "print('never')"
    )
    write_notebook(folder / "03_dies.ipynb", "import os\nos._exit(1)")
    write_notebook(folder / "04_last.ipynb", "import os\nprint(os.path.basename(os.getcwd()))")
    failures = execute.execute_all(project, "smoke")

    assert [failure.notebook for failure in failures] == ["02_fails.ipynb", "03_dies.ipynb"]
    assert (
        str(failures[0])
        == "02_fails.ipynb: cell [4], `answer = 1`: ZeroDivisionError: division by zero"
    )
    assert "died" in failures[1].error.lower()
    assert cell_outputs(project.build / "executed/smoke/01_one.ipynb") == "smoke\n"
    assert cell_outputs(project.build / "executed/smoke/02_fails.ipynb") == "so far\n"
    assert cell_outputs(project.build / "executed/smoke/04_last.ipynb") == "notebooks\n"
    assert not list(project.build.rglob(".*"))
    assert "4 to execute" in capsys.readouterr().out

    # The two that passed rest; mending one of the others executes that one and the one that still
    # fails.
    write_notebook(folder / "02_fails.ipynb", "print('mended')")
    stale = [notebook.name for notebook, _ in execute.stale_notebooks(project, "smoke")]
    assert stale == ["02_fails.ipynb", "03_dies.ipynb"]


def test_an_interruption_is_told_in_a_line(project, capsys, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    (project.root / "_toc.yml").touch()
    monkeypatch.setattr("papermill.execute_notebook", interrupt)
    assert reproduce.main(["--profile", "smoke", "--root", str(project.root)]) == 130
    assert "interrupted: what was executed" in capsys.readouterr().err
    assert [notebook.name for notebook, _ in execute.stale_notebooks(project, "smoke")] == [
        "01_one.ipynb"
    ]


def test_what_the_notebooks_measure_is_part_of_one_run(project, monkeypatch):
    runs = []

    def look(*_: object, **__: object) -> None:
        runs.append(os.environ.get(RUN))
        raise KeyboardInterrupt

    (project.root / "_toc.yml").touch()
    monkeypatch.delenv(RUN, raising=False)
    monkeypatch.setattr("papermill.execute_notebook", look)
    reproduce.main(["--profile", "smoke", "--root", str(project.root)])
    assert runs == [collect("cpu").run]


def test_an_output_cut_off_in_writing_is_not_fresh(project):
    output = project.executed(project.notebooks()[0], "smoke")
    output.parent.mkdir(parents=True)
    output.write_text("{}")
    freshness.write_json(output.with_suffix(".json"), {"key": key(project)})
    assert not list(execute.stale_notebooks(project, "smoke"))
    output.with_suffix(".json").write_text('{"key": "')
    assert list(execute.stale_notebooks(project, "smoke"))


def test_the_claims_are_judged_again_after_a_change_alone(project, monkeypatch, capsys):
    monkeypatch.setenv(store.VARIABLE, "")
    judged = []
    row = {
        "id": "a",
        "section": "§1",
        "verdict": "reproduced",
        "why": "so",
        "paper": "",
        "ours": "",
        "label": "",
        "device": "",
    } | {f"{kind}{end}": "" for kind in EVIDENCE for end in ("", "_figures", "_source")}
    monkeypatch.setattr(reproduce, "ledger", lambda _: judged.append(1) or pd.DataFrame([row]))

    def told() -> str:
        reproduce.print_claims(project, "smoke")
        return capsys.readouterr().out

    first = told()
    assert "1 claims, of which 0 have no evidence" in first and "reproduced 1" in first
    assert told() == first and len(judged) == 1
    records = project.records("smoke")
    records.parent.mkdir(parents=True)
    records.write_text("")
    assert told() == first and len(judged) == 2
    (project.root / "tresnet_lite" / "part.py").write_text("a = 2\n")
    assert told() == first and len(judged) == 3


def test_claims_that_cannot_be_judged_are_told_with_the_reason(project, monkeypatch, capsys):
    monkeypatch.setenv(store.VARIABLE, "")
    records = project.records("smoke")
    records.parent.mkdir(parents=True)
    records.write_text("{")
    reproduce.print_claims(project, "smoke")
    assert (
        "claims: not judged (" in (told := capsys.readouterr().err)
        and "a half-written line" in told
    )


def test_the_profile_follows_the_device(monkeypatch):
    assert device.choose_profile("smoke") == ("smoke", "asked for")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose_profile() == ("cpu", "no CUDA device is visible")


def test_a_profile_for_a_gpu_is_refused_at_once_where_there_is_none(project, monkeypatch, capsys):
    (project.root / "_toc.yml").write_text("format: jb-book\nroot: book/page\n")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(reproduce, "execute_all", lambda *_: pytest.fail("it was not refused"))
    assert reproduce.main(["--root", str(project.root), "--profile", "gpu"]) == 2
    told = capsys.readouterr()
    assert told.err == "error: profile gpu needs a GPU: no CUDA device is visible\n"


def test_a_gpu_is_used_when_this_torch_can_compute_on_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for trial, profile, reason in (
        ("print('Tesla V100')", "gpu", "Tesla V100"),
        (
            "print('Tesla V100'); print('torch 9 cannot use Tesla V100: no code')",
            "cpu",
            "torch 9 cannot use Tesla V100: no code",
        ),
        ("raise SystemExit('driver too old')", "cpu", "cannot use the GPU: driver too old"),
    ):
        device.try_gpu.cache_clear()
        monkeypatch.setattr(device, "GPU_TRIAL", trial)
        chosen, why = device.choose_profile()
        assert chosen == profile and reason in why
    device.try_gpu.cache_clear()


def test_a_folder_that_is_no_checkout_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        reproduce.main(["--root", str(tmp_path)])
    assert "holds no _toc.yml" in capsys.readouterr().err


def test_the_book(project, capsys):
    """Built from the real configuration: once, again only after a change, and never with a
    warning.
    """
    shutil.copytree(ROOT / "book" / "static", project.root / "book" / "static")
    shutil.copy(ROOT / "book" / "references.bib", project.root / "book")
    shutil.copy(ROOT / "_config.yml", project.root)
    (project.root / "_toc.yml").write_text(
        "format: jb-book\nroot: book/page\nchapters:\n- glob: notebooks/*\n"
    )
    output = project.executed(project.notebooks()[0], "smoke")
    assert execute.execute(project.notebooks()[0], output, "smoke") is None

    def build() -> int:
        return reproduce.main(["--root", str(project.root), "--book-only", "--profile", "smoke"])

    assert build() == 0, (project.build / "book.log").read_text()
    assert f"book: {project.index.as_uri()}" in capsys.readouterr().out
    chapter = (project.index.parent / "notebooks" / "01_one.html").read_text()
    assert "<span></span>smoke\n" in chapter  # the executed copy
    assert "tag_injected-parameters tag_remove-input" in chapter and "# Parameters" not in chapter
    assert "/blob/main/notebooks/01_one.ipynb" in chapter  # Colab opens the source

    built = project.index.stat().st_mtime_ns
    assert build() == 0
    assert (
        project.index.stat().st_mtime_ns == built and "book: unchanged" in capsys.readouterr().out
    )

    (project.root / "book" / "page.md").write_text("# Page\n\nSee [a page](nowhere.md).\n")
    assert build() == 1
    assert "nowhere.md" in capsys.readouterr().err
    assert project.index.stat().st_mtime_ns == built  # the book that stood still stands

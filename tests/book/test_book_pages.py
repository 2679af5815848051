"""What is rendered into the book's pages, and what becomes of a notebook on its way there."""

import dataclasses
import html
import json
import re
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from helpers import PROVENANCE
from markdown_it import MarkdownIt

from tresnet_lite.book import landing, measured_speeds, network_map, serve, staging
from tresnet_lite.book.chapters import chapter, chapters, judging, source_link
from tresnet_lite.book.figures import number_figures
from tresnet_lite.book.parts import PARTS
from tresnet_lite.checkout import ROOT
from tresnet_lite.claims.ledger import load_claims
from tresnet_lite.paper import paper_value
from tresnet_lite.records import Conditions, Record, Spread
from tresnet_lite.show import plots

GPU = dataclasses.replace(PROVENANCE, cuda="12.8")
CPU = dataclasses.replace(
    PROVENANCE, cuda=None, device="Imaginary CPU, 2 threads", date="2026-02-03T04:05:06+00:00"
)


def record(
    model, median, *, provenance=GPU, phase="training", metric="throughput", side=224, **where
):
    where = {"suite": "table3", "case": "networks"} | where
    spread = Spread(median, 0.99 * median, 1.01 * median, repeats=5)
    return Record(
        **where,
        model=model,
        phase=phase,
        metric=metric,
        value=spread,
        conditions=Conditions(8, side),
        provenance=provenance,
    )


def both(faster, **settings):
    return [record("tresnet_m", faster, **settings), record("resnet50", 100, **settings)]


@pytest.fixture
def judged(monkeypatch):
    """A ledger of three claims in place of the whole one, which has tests of its own and takes its
    time.
    """
    words = ["reproduced", "differs", "not attempted", "reproduced", "holds here"]
    devices = ["", GPU.device, "", GPU.device, CPU.device]
    ledger = pd.DataFrame({"id": list("abcab"), "verdict": words, "device": devices})
    for module in (landing, measured_speeds):
        monkeypatch.setattr(module, "ledger", lambda records: ledger)


def cards(records) -> dict[str, landing.Number]:
    names = ("kept", "predicted", "published", "verdicts", "discrepancies")
    return dict(zip(names, landing.numbers(records), strict=True))


def test_the_landing_page_shows_the_best_device_first(judged):
    """A GPU before a CPU, though the CPU's records are younger; an image of another size counts for
    nothing.
    """
    records = [*both(50, provenance=CPU), *both(93), *both(20, side=64)]
    ratios = measured_speeds.speeds(records).query("phase == 'training'")["ratio"].tolist()
    assert ratios == pytest.approx([0.93, 0.50])
    shown = html.unescape(measured_speeds.landing_measured(records))
    assert "Imaginary GPU" in shown and "1 of 1 verdicts on speed hold there" in shown
    assert "not measured yet" in shown  # there are no records of inference
    figure = shown.partition("</figure>")[0]
    assert "nan" not in figure and "\n\n" not in figure  # Markdown would end the figure there


def test_the_landing_page_needs_no_records(judged):
    shown = landing.landing_numbers([])
    assert shown.count("<dt>") == 5 and ">–<" not in shown
    assert measured_speeds.landing_measured([]) == measured_speeds.NOTHING
    assert "\n\n" not in landing.landing_figure([])


def test_verdicts_of_gpus_are_counted_apart_and_those_of_cpus_not(judged):
    verdicts = cards(both(93) + both(50, provenance=CPU))["verdicts"]
    assert verdicts.ours == "2 of 3" and "3 claims" in verdicts.source
    assert "measured on GPUs 1 of 2, counted or compared 1 of 1; 1 inconcl" in verdicts.beside


def test_the_number_of_kept_memory_is_near_the_papers_largest_batches(judged):
    """Which it explains to a few per cent: chapter 11 has all four networks."""
    kept = cards([])["kept"]
    batches = [paper_value(3, "max_batch", model=name) for name in ("TResNet-M", "ResNet50")]
    assert float(kept.ours) == pytest.approx(batches[0] / batches[1], rel=0.024)
    assert f"paper {batches[0] / batches[1]:.2f}" in kept.beside


def test_the_number_of_predictions_is_the_one_in_the_file(judged):
    lines = (ROOT / "data" / "predict" / "constants.jsonl").read_text().splitlines()
    (v100,) = (line for line in map(json.loads, lines) if line["device"] == "V100")
    predicted = cards([])["predicted"]
    assert predicted.ours == f"{100 * v100['median']:.1f} %"
    assert f"{v100['speeds']} speeds" in predicted.what


@pytest.mark.parametrize(("phase", "prefix"), [("inference", "infer"), ("training", "train")])
def test_published_runs_are_counted_as_in_the_file(phase, prefix):
    """The same from timm's rows, file by file."""
    rows = pd.read_csv(ROOT / "data" / "published" / "timm_benchmarks.csv")
    rows = rows[(rows["resolution"] == 224) & ~rows["source_file"].str.contains("-cpu-")]
    rows = rows[rows["source_file"].str.contains(f"-{prefix}-")]
    speeds = rows.pivot(index="source_file", columns="model", values="images_per_second")
    ratios = speeds["tresnet_m"] / speeds["resnet50"]
    assert landing.least(phase) == 0.9  # "at most 10 % slower"
    assert landing.keeps_up(phase) == ((ratios >= 0.9).sum(), len(ratios))
    assert (ratios >= 0.9).any()


def test_discrepancies_are_the_rows_of_the_pages_table(judged):
    page = (ROOT / "book" / "discrepancies.md").read_text(encoding="utf-8")
    shown = MarkdownIt("commonmark").enable("table").render(page)
    rows = sum(body.count("<tr>") for body in re.findall("<tbody>.*?</tbody>", shown, re.DOTALL))
    assert cards([])["discrepancies"].ours == str(rows) and rows > 10


def stage_records(times, provenance=GPU):
    where = {"suite": "micro", "metric": "time", "provenance": provenance}
    return [
        record("tresnet_m", seconds, case="stages", part=stage, **where)
        for stage, seconds in times.items()
    ]


def test_the_map_is_read_off_the_model_and_leads_to_chapters():
    drawn = network_map.linked_map([])
    svg = ElementTree.fromstring(re.search(r"<svg.*?</svg>", drawn, re.DOTALL)[0])
    links = [element for element in svg.iter() if element.tag.endswith("}a")]
    pages = {link.get("href") for link in links}
    assert {chapter(number).page for number in (1, 2, 3, 4, 5, 6)} <= pages
    assert all(link.get("aria-label") for link in links)
    names = [part.name for part in network_map.parts([])]
    assert names == ["stem", "stage 1", "stage 2", "stage 3", "stage 4", "head"]
    blurred = [p.name for p in network_map.parts([]) if ("blur", 2) in p.subjects]
    assert blurred == ["stage 2", "stage 3", "stage 4"]  # the stages that halve the resolution
    assert "not attempted" in drawn


def test_the_map_shows_the_time_of_each_stage():
    times = {"stem": 1, "layer1": 2, "layer2": 3, "layer3": 3, "layer4": 0.5, "head": 0.5}
    slow = dict.fromkeys(times, 7.0)
    records = [*stage_records(slow, CPU), *stage_records(times), *stage_records({"stem": 5}, CPU)]
    shares = network_map.time_shares(records)
    assert shares["training"] == pytest.approx(
        {stage: seconds / 10 for stage, seconds in times.items()}
    )
    drawn = network_map.linked_map(records)
    assert "training 30%" in drawn and "Imaginary GPU" in drawn and "not attempted" not in drawn
    assert network_map.time_shares(stage_records({"stem": 1})) == {}  # a stage alone is no share


def test_every_claim_has_the_chapter_that_judges_it():
    found = {claim.id: judging(claim.id) for claim in load_claims()}
    lost = sorted({name.partition("-")[0] for name, where in found.items() if where is None})
    # no chapter is about these: the claims page judges them
    assert set(lost) <= {"text", "transfer"}, lost
    ids = [claim.id for claim in load_claims()]
    for prefix in (prefix for found in chapters() for prefix in found.claims):
        assert any(name.startswith(prefix) for name in ids), prefix


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="no part clams to render: there are claims"):
        staging.render("<!-- render clams -->", PARTS)
    assert staging.render("a\n<!-- render x -->\nb", {"x": lambda: "X\n"}) == "a\nX\nb"


def test_pages_link_into_the_repository():
    assert staging.link("[a](repo:README.md)", ROOT) == f"[a]({source_link('README.md')})"
    assert "/tree/main/tests" in staging.link("[a](repo:tests)", ROOT)
    here = staging.link("`test_book_pages.py::test_pages_link_into_the_repository`", ROOT)
    line = int(re.search(r"#L(\d+)\)$", here)[1])
    assert Path(__file__).read_text().splitlines()[line - 1].startswith("def test_pages_link")
    with pytest.raises(FileNotFoundError, match="nowhere.py: linked to"):
        staging.link("[a](repo:nowhere.py)", ROOT)
    with pytest.raises(FileNotFoundError, match="has no such test"):
        staging.link("`test_book_pages.py::test_" + "nothing`", ROOT)


@pytest.fixture
def notebook():
    """A notebook as papermill leaves it, with two drawings."""
    import torch

    drawing = plots.pictures(
        [("grey", torch.rand(2, 2))], columns=1, description="Grey <pixels>. More of it."
    )
    v4 = nbformat.v4
    code = v4.new_code_cell(
        "from tresnet_lite import profiles as p\nfrom tresnet_lite.counting import count_macs\n"
        "from tresnet_lite.show import (\n    blocks as drawings,\n    plots,\n)\n"
        "import tresnet_lite.model\n"
    )
    for _ in range(2):
        code.outputs.append(
            v4.new_output(
                "display_data", data={"text/html": drawing.html, "text/plain": drawing.text}
            )
        )
    injected = v4.new_code_cell('profile = "cpu"', metadata={"tags": ["injected-parameters"]})
    ran = {"papermill": {"duration": 12.4, "parameters": {"profile": "cpu"}}}
    return v4.new_notebook(cells=[v4.new_markdown_cell("# Title"), injected, code], metadata=ran)


def test_drawings_become_numbered_figures(notebook):
    assert number_figures(notebook, 7) == 2
    first, second = (output.data["text/html"] for output in notebook.cells[-1].outputs)
    assert 'id="fig-7-1"' in first and 'id="fig-7-2"' in second
    assert (
        ">Figure 7.1</a>. Grey &lt;pixels&gt;." in first
        and "More of it" not in first.partition("<figcaption>")[2]
    )
    line = int(re.search(r"/blob/main/tresnet_lite/show/plots\.py#L(\d+)", first)[1])
    assert "def pictures" in "".join(
        (ROOT / "tresnet_lite/show/plots.py").read_text().splitlines()[line - 1 : line + 2]
    )


def test_a_staged_notebook_tells_time_command_and_sources(notebook, tmp_path):
    source, target = tmp_path / "done.ipynb", tmp_path / "stage" / "07_x.ipynb"
    nbformat.write(notebook, source)
    staging.stage_notebook(source, target, ROOT)
    staged = nbformat.read(target, as_version=4)
    told = html.unescape(staged.cells[-1].source)
    assert "It took 12 seconds" in told and "make reproduce PROFILE=cpu" in told
    assert "papermill --cwd notebooks notebooks/07_x.ipynb build/07_x.ipynb -p profile cpu" in told
    links = re.findall(r"/(?:blob|tree)/main/([^\"]+)", told)
    assert links == [
        "notebooks/07_x.ipynb",
        "tresnet_lite/profiles.py",
        "tresnet_lite/counting",
        "tresnet_lite/show/blocks.py",
        "tresnet_lite/show/plots.py",
        "tresnet_lite/model.py",
    ]
    assert "remove-input" in staged.cells[1].metadata.tags
    before = target.stat().st_mtime_ns
    staging.stage_notebook(source, target, ROOT)
    assert target.stat().st_mtime_ns == before  # equal, so left alone
    assert sorted(path.name for path in target.parent.iterdir()) == ["07_x.ipynb"]


def test_a_notebook_that_was_not_executed_says_so(notebook):
    notebook.metadata.pop("papermill")
    assert "Shown as committed" in staging.provenance(notebook, "07_x.ipynb", ROOT)


def test_serving_builds_again_when_a_source_changes(tmp_path):
    (tmp_path / "book").mkdir()
    for name in ("_config.yml", "_toc.yml", "book/page.md"):
        (tmp_path / name).write_text("before")
    builds, stop = [], threading.Event()

    def build():
        builds.append((tmp_path / "book/page.md").read_text())
        if len(builds) == 1:
            (tmp_path / "book/page.md").write_text("after")
        else:
            threading.Timer(0.1, stop.set).start()  # some more looks, at unchanged sources

    serve.watch(tmp_path, build, stop=stop, every=0.005)
    assert builds == ["before", "after"]


def test_serving_elsewhere_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        serve.main(["--root", str(tmp_path)])
    assert "holds no _toc.yml" in capsys.readouterr().err

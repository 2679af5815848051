"""The GPU's path on the imitated GPU, each command in processes of its own.

What it cannot show stands in CONTRIBUTING: speed, cuDNN's choices, streams, NCCL.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tresnet_lite.checkout import ROOT
from tresnet_lite.records import Failure, Record, files, provenance, store
from tresnet_lite.train import read_log

HERE = Path(__file__).parent
PYTHONPATH = os.pathsep.join([str(ROOT), str(ROOT / "tests")])


@pytest.fixture
def rehearse(record_file):
    """Start a command of Python on an imitated GPU; its records go to a file of the test.

    `packages` is a folder that Python looks in first.
    """

    def start(*command: str, threads: int = 1, packages: Path = HERE, **card) -> subprocess.Popen:
        options = [f"--{name}={value}" for name, value in card.items()]
        words = [sys.executable, str(HERE), *options, "--", sys.executable, *command]
        path = os.pathsep.join([str(packages), PYTHONPATH])
        env = {**os.environ, "PYTHONPATH": path}
        env |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(words, env=env, start_new_session=True, **pipes)

    def run(*command: str, status: int = 0, **options: object) -> str:
        process = start(*command, **options)
        out, err = process.communicate(timeout=600)
        assert process.returncode == status, err[-3000:]
        return out if status == 0 else err

    run.start = start
    return run


# --- the imitation


def test_the_imitation_answers_as_a_gpu(rehearse):
    assert rehearse(str(HERE / "behaviour.py"), gib=1).splitlines()[-1] == "as a GPU"


@pytest.mark.parametrize("words", ["torch", "cudnn"])
def test_memory_runs_out_in_torchs_or_in_cudnns_words(rehearse, words):
    script = (
        "import torch; x = torch.zeros(4, 8, 512, 512, device='cuda')\n"
        "try: torch.nn.functional.conv2d(x, torch.zeros(99, 8, 1, 1, device='cuda'))\n"
        "except RuntimeError as error: print(type(error).__name__, error)"
    )
    told = rehearse("-c", script, gib=0.1, words=words)
    if words == "torch":
        # 4 × 99 × 512 × 512 numbers of 4 bytes; 32 MiB of 0.1 GiB are taken
        asked = "Tried to allocate 0.39 GiB. GPU 0 has a total capacity of 0.10 GiB of which 0.07"
        assert told.startswith(f"OutOfMemoryError CUDA out of memory. {asked}")
    else:
        assert told.startswith("RuntimeError FIND was unable to find an engine")


@pytest.mark.parametrize(
    ("card", "facts"),
    [
        ({"smi": "ok"}, {"clock": 1380.0, "throttled": "", "driver": "535.154.05"}),
        ({"smi": "throttled"}, {"throttled": "power cap, heat (software)", "temperature": 84.0}),
        ({"smi": "na"}, {"clock": 1380.0, "power_limit": None, "memory_used": None}),
        ({"smi": "error"}, {"clock": 1380.0, "clock_max": None, "throttled": None}),
        ({"smi": "mig"}, {"driver": "535.154.05", "clock": None, "throttled": None}),
        ({"smi": "missing"}, {"driver": None, "clock": None}),
        ({"taken": 8.0}, {"others_use": 8192.0}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if "smi" in value else None,
)
def test_a_record_knows_what_nvidia_smi_tells(rehearse, card, facts):
    script = (
        "from tresnet_lite.records import collect; here = collect('cuda')\n"
        f"import json; print(json.dumps({{n: getattr(here, n) for n in {[*facts]}}}))\n"
        "assert here.rehearsed and here.device == 'Rehearsal of Tesla V100-SXM2-16GB'"
    )
    assert json.loads(rehearse("-c", script, **card)) == facts


@pytest.mark.parametrize(
    ("visible", "told"),
    [
        ("0", "cuda"),
        ("GPU-11111111-2222-3333-4444-555555555555", "cuda"),
        ("1", "there is no GPU here (nvidia-smi lists Tesla V100-SXM2-16GB, driver 535.154.05"),
    ],
)
def test_a_gpu_may_be_hidden_by_number_and_by_identifier(rehearse, visible, told):
    script = (
        f"import os; os.environ['CUDA_VISIBLE_DEVICES'] = '{visible}'\n"
        "from tresnet_lite.records import device\n"
        "try: print(device.find_device('cuda'))\n"
        "except ValueError as error: print(error)"
    )
    assert rehearse("-c", script).startswith(told)


# --- training and evaluation

TRAIN = ("-m", "tresnet_lite.train", "--device", "cuda", "--no-tensorboard", "--batch", "64")
TRAIN += ("--width", "4", "--depths", "1,1,1,1", "--epochs", "1", "--size", "32")


def weights(folder: Path) -> dict:
    return torch.load(folder / "last.pt")["training"]


def test_training_in_mixed_precision_resumes_to_the_bit(rehearse, tmp_path):
    """A run that is killed after a checkpoint ends with the weights of one that is not."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    rehearse(*TRAIN, "--out", str(whole))
    process = rehearse.start(*TRAIN, "--out", str(killed), "--save-minutes", "0")
    deadline = time.monotonic() + 120
    while not (killed / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert weights(killed)["step"] < weights(whole)["step"]
    rehearse(*TRAIN, "--out", str(killed))
    one, other = weights(whole), weights(killed)
    assert one["scaler"]["scale"] > 1 and one["scaler"] == other["scaler"]  # float16
    for key, value in one["model"].items():
        assert torch.equal(value, other["model"][key]), key
    (start,) = read_log(whole, "start")
    assert start["provenance"]["device"].startswith(provenance.REHEARSAL)


def test_a_step_whose_gradients_overflow_is_skipped(rehearse):
    assert rehearse(str(HERE / "overflow.py")).splitlines()[-1] == "skipped, and went on"


def test_a_run_is_evaluated_on_the_gpu(rehearse, tmp_path, record_file):
    rehearse(*TRAIN, "--out", str(tmp_path / "run"))
    command = ("-m", "tresnet_lite.evaluate", "--weights", str(tmp_path / "run"))
    command += ("--data", "digits", "--workers", "0", "--keep", str(tmp_path / "kept"))
    rehearse(*command, "--dtype", "float16", "--records", str(record_file))
    top1, _, speed = files.load(record_file)
    assert (top1.metric, top1.conditions.dtype) == ("top1", "float16")
    assert top1.provenance.rehearsed and speed.provenance.rehearsed
    few = ("--batch", "450", "--keep", str(tmp_path / "other"))
    told = rehearse(*command, *few, gib=0.002, status=1)
    assert "out of memory: give a smaller --batch than 450" in told


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_card_that_torch_has_no_code_for_gets_one_line(rehearse, command):
    arguments = ["--data", "digits", "--device", "cuda"]
    arguments += ["--model", "tresnet_m"] if command == "evaluate" else []
    told = rehearse("-m", f"tresnet_lite.{command}", *arguments, capability="6.1", status=2)
    (line,) = told.splitlines()
    assert "has no code for sm_61" in line and "/cu126 make setup TORCH=" in line


# --- campaigns and notebooks


def test_a_campaign_is_killed_and_goes_on(rehearse, tmp_path):
    """Each way of running is measured once, and nothing of it can be committed."""
    out = tmp_path / "records.jsonl"
    command = ("-m", "tresnet_lite.bench", "run", "axes", "--profile", "gpu")
    command += ("--models", "resnet50", "--out", str(out))
    process = rehearse.start(*command, capability="9.0")
    deadline = time.monotonic() + 120
    while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = files.read(out)
    rehearse(*command, capability="9.0")  # which has bfloat16
    records = files.read(out)
    assert records[: len(before)] == before
    assert not any(isinstance(record, Failure) for record in records)
    assert len({record.key for record in records}) == len(records)
    for way, values in (
        ("dtype", {"float16", "bfloat16"}),
        ("memory_format", {"channels_first", "channels_last"}),
        ("compile", {"eager", "default"}),
    ):
        assert {getattr(record.conditions, way) for record in records} == values
    (store.COMMITTED / "gpu.jsonl").write_bytes(out.read_bytes())
    with pytest.raises(files.RecordError, match="a rehearsal"):
        store.committed()


def test_stages_and_operations_are_measured(rehearse, tmp_path):
    out = tmp_path / "records.jsonl"
    command = ("-m", "tresnet_lite.bench", "run", "micro", "--profile", "gpu")
    rehearse(*command, "--models", "tresnet_m", "--out", str(out))
    records = files.load(out)
    assert {record.case for record in records} == {"stages", "operations"}
    assert all(record.provenance.rehearsed for record in records)
    assert {"stem", "layer1", "head"} < {r.part for r in records if r.case == "stages"}


@pytest.mark.parametrize(
    ("card", "cap"),
    [({"gib": 0.32}, ()), ({"gib": 0.32, "words": "cudnn"}, ()), ({"gib": 1}, ("0.32",))],
    ids=["torch's words", "cuDNN's words", "a smaller card emulated"],
)
def test_the_largest_batch_is_found_by_running_out_of_memory(rehearse, tmp_path, card, cap):
    out = tmp_path / "records.jsonl"
    command = ("-m", "tresnet_lite.bench", "run", "table3", "--profile", "gpu")
    command += ("--memory-cap", *cap) if cap else ()
    rehearse(*command, "--models", "resnet50", "--quick", "--out", str(out), **card)
    batch, peak = (r for r in files.load(out) if r.suite == "table3" and "_" in r.metric)
    assert (batch.metric, peak.metric) == ("largest_batch", "peak_memory")
    assert 0.9 * 0.32 * 2**30 < peak.value.median <= 0.32 * 2**30


@pytest.mark.parametrize(
    ("chapter", "suites"), [("01_stem", {"stem"}), ("16_training", {"training"})]
)
def test_a_chapter_is_executed_on_the_gpu(rehearse, tmp_path, record_file, chapter, suites):
    script = (
        "from pathlib import Path; from tresnet_lite.book.execute import execute\n"
        f"notebook = Path({str(ROOT / 'notebooks' / f'{chapter}.ipynb')!r})\n"
        f"print(execute(notebook, Path({str(tmp_path / 'out.ipynb')!r}), 'gpu'))"
    )
    assert rehearse("-c", script).splitlines()[-1] == "None"  # no failure
    records = files.load(record_file)
    assert {record.suite for record in records} == suites
    assert all(record.provenance.rehearsed for record in records)
    assert {record.conditions.dtype for record in records} == {"float16"}


STUDIES = """
from tresnet_lite.experiments import ablation, recipe, studies
from tresnet_lite.profiles import PROFILES, Training
from tresnet_lite.records.provenance import process_id
few = Training(seeds=1, epochs=1, images=64)
for study in (ablation.LadderStudy(few, "digits"), recipe.RecipeStudy(few)):
    studies.train_studies([study], PROFILES["gpu"])
print(process_id())
"""


def test_small_networks_train_side_by_side(rehearse, record_file):
    """In processes of their own, which share the GPU; each in the precision that it is filed in."""
    *told, parent = rehearse("-c", STUDIES, threads=2).splitlines()
    assert told[0] == "6 networks, 0 of them trained before"
    assert told[1].startswith("1 of 6 trained, about ")
    records = files.load(record_file)
    assert len(records) == 6 + 8 and parent not in {r.provenance.process for r in records}
    assert all(record.provenance.rehearsed for record in records)
    dtypes = {(record.suite, record.conditions.dtype) for record in records}
    assert dtypes == {("ablation", "float32"), ("training", "float16")}


PUBLISHED = """
from pathlib import Path
from tresnet_lite.bench import campaign, suites
from tresnet_lite.profiles import PROFILES
points = [p for p in suites.points(PROFILES["gpu"]) if p.norm == "mapillary"]
campaign.run(points, Path(OUT), campaign.find_slots("cuda"))
"""
# What the published package computes, by torch; its own is in C++, which an imitation cannot run.
STAND_IN = """
import torch.nn.functional as F

def inplace_abn(x, weight, bias, mean, var, training, momentum, eps, activation, slope):
    y = F.batch_norm(x.float(), mean, var, weight.abs() + eps, bias, training, momentum, eps)
    return (F.leaky_relu(y, slope) if activation == "leaky_relu" else y).to(x.dtype)

inplace_abn_sync = None
"""
OTHER_GPU = """
def inplace_abn(*_):
    raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

inplace_abn_sync = None
"""


@pytest.mark.parametrize(
    ("package", "functions", "reason"),
    [
        ("", STAND_IN, None),
        ("raise ImportError('libc10.so: undefined symbol')", "", "needs the package inplace-abn"),
        ("", OTHER_GPU, "no kernel image is available"),
    ],
    ids=["installed", "built for another torch", "built for another GPU"],
)
def test_the_published_inplace_abn_is_measured_or_missing_with_its_reason(
    rehearse, tmp_path, package, functions, reason
):
    folder, out = tmp_path / "inplace_abn", tmp_path / "records.jsonl"
    folder.mkdir()
    (folder / "__init__.py").write_text(package)
    (folder / "functions.py").write_text(functions)
    rehearse("-c", PUBLISHED.replace("OUT", repr(str(out))), packages=tmp_path)
    lines = files.read(out)
    assert {line.suite for line in lines} == {"axes"} and len(lines) in (1, 2)
    if reason is None:
        assert {line.conditions.norm for line in lines} == {"mapillary"}
    else:
        assert all(reason in line.message for line in lines)


def test_constants_are_fitted_to_what_a_campaign_measured(rehearse, tmp_path):
    """`predict --fit` takes them, and calls the device what they call it."""
    out = tmp_path / "records.jsonl"
    command = ("-m", "tresnet_lite.bench", "run", "table4", "--profile", "gpu")
    rehearse(*command, "--out", str(out))
    told = rehearse("-m", "tresnet_lite.predict", "--fit", str(out), "tresnet_m")
    assert told.startswith("Rehearsal of Tesla V100-SXM2-16GB (rehearsalof")
    assert "float16, channels first, eager" in told and "fitted to 12 speeds" in told
    (line,) = (x for x in told.splitlines() if x.split()[:2] == ["tresnet_m", "training"])
    assert float(line.split()[2]) > 0


def test_bfloat16_is_not_measured_where_a_gpu_emulates_it(rehearse, tmp_path):
    out = tmp_path / "records.jsonl"
    command = ("-m", "tresnet_lite.bench", "run", "axes", "--profile", "gpu", "--models")
    rehearse(*command, "resnet50", "--out", str(out), capability="7.0")
    lines = files.read(out)
    (failure,) = (line for line in lines if isinstance(line, Failure))
    assert "bfloat16" in failure.point and "emulates it" in failure.message
    assert any(isinstance(line, Record) for line in lines)

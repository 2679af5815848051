"""`python -m tresnet_lite.predict` as a user types it."""

import pytest

from tresnet_lite.checkout import DATA
from tresnet_lite.counting.kept import kept_per_image
from tresnet_lite.paper import paper_ratio
from tresnet_lite.predict import devices
from tresnet_lite.predict.__main__ import main
from tresnet_lite.predict.memory import GIB, largest_batch

H200 = DATA / "measured" / "nvidia-h200.jsonl"


def test_networks_are_predicted_in_both_phases(capsys):
    networks = ["tresnet_m", "resnet50", "convnext_tiny"]
    assert main(["--device", "rtx4090", "--image-size", "224", *networks]) == 0
    lines = capsys.readouterr().out.splitlines()
    for network in networks:
        for phase in ("inference", "training"):
            (line,) = [x for x in lines if x.split()[:2] == [network, phase]]
            speed, low, _, high, share, _, bound, *batch = line.split()[2:]
            assert 0 < int(low) < int(speed) < int(high) and int(speed) < int(bound)
            assert 0 < int(share.rstrip("%")) <= 100
            assert len(batch) == (phase == "training") and all(int(b) > 32 for b in batch)
    (note,) = [line for line in lines if "note" in line]
    assert "no batch norm" in note and lines.index(note) == len(lines) - 1
    assert any("fitted to 19 speeds: timm's" in line for line in lines)
    assert any("taken from the RTX 3090" in line for line in lines)


def test_a_published_speed_lies_in_its_interval(capsys):
    """What data/published quotes of ResNet50 on an RTX 4090 is 4303 img/s in batches of 1024."""
    main(["--device", "rtx4090", "--batch", "1024", "resnet50"])
    (line,) = [x for x in capsys.readouterr().out.splitlines() if "resnet50" in x and "inf" in x]
    low, high = (int(line.split()[i]) for i in (3, 5))
    assert low < 4302.84 < high


def test_an_unknown_device_gets_the_list(capsys):
    assert main(["--device", "a100", "resnet50"]) == 2
    error = capsys.readouterr().err
    assert "'a100': constants are known for v100, rtx3090, rtx4090, rtx5090; measure" in error


def test_a_network_that_cannot_be_counted_gets_its_reason_and_the_others_their_numbers(capsys):
    assert main(["nonsense", "resnet18", "vit_tiny_patch16_224", "--image-size", "96"]) == 1
    out = capsys.readouterr().out
    assert "nonsense: cannot be counted: nonsense at 96 px, inference: timm" in out
    assert "vit_tiny_patch16_224: cannot be counted: " in out and "Input height (96)" in out
    assert "resnet18                 training" in out


def test_attention_is_outside_of_what_was_fitted(capsys):
    assert main(["vit_tiny_patch16_224"]) == 0
    assert "it has attention" in capsys.readouterr().out


def test_constants_of_ones_own_gpu_are_fitted_kept_and_used(tmp_path, capsys):
    kept = tmp_path / "mine.jsonl"
    assert main(["--fit", str(H200), "--out", str(kept)]) == 0
    assert "NVIDIA H200 (h200), float16, channels first, eager" in capsys.readouterr().out
    assert list(devices.read(kept)) == ["h200"]
    use = ["--constants", str(kept), "--device", "h200", "resnet18"]
    assert main(use) == 0
    assert "resnet18" in capsys.readouterr().out
    kept.write_text(kept.read_text().replace("0.0", "0.1", 1))
    assert main(use) == 2
    assert "the digest does not fit" in capsys.readouterr().err


def test_what_cannot_be_done_is_said_in_a_line(tmp_path, capsys):
    for words, why in (
        ([], "which networks? Name some"),
        (["validate", str(tmp_path)], "give the results/ folder of timm's repository"),
        (["--fit", str(tmp_path / "none.jsonl")], "No such file"),
        (["--batch", "0", "resnet18"], "batch is 0: it must be 1 or more"),
    ):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert why in error and error.startswith("error: ") and error.count("\n") == 1


@pytest.mark.parametrize("memory", [4.0, 16.0])
def test_the_largest_batch_is_the_memory_over_what_is_kept(memory):
    per_image = sum(kept_per_image("tresnet_m", "bfloat16", memory="paper").values())
    batch = largest_batch("tresnet_m", 224, memory, "published")
    # weights and momentum of 29 million parameters, less than 1 % of an image wrong
    assert batch == pytest.approx((memory * GIB - 8 * 29.5e6) / per_image, rel=0.01)
    assert largest_batch("tresnet_m", 224, 0.1) == 0


def test_largest_batches_have_the_papers_ratio():
    """Table 3: 512 and 288. Workspace and the like, which are not counted, hardly change it."""
    ours, base = (largest_batch(name, 224, 16.0, "published") for name in ("tresnet_m", "resnet50"))
    column = {"table": 3, "column": "max_batch"}
    printed = paper_ratio(column | {"model": "TResNet-M"}, column | {"model": "ResNet50"})
    assert ours / base == pytest.approx(printed, rel=0.03)

"""A device that is not there, or that this torch cannot use: a line says what would help."""

import pytest
import torch

from tresnet_lite.records import device, nvidia_smi


@pytest.fixture
def cards(monkeypatch):
    """What nvidia-smi lists."""
    listed: list[str] = []
    monkeypatch.setattr(nvidia_smi, "cards", lambda: listed)
    return listed


@pytest.fixture
def gpu(monkeypatch):
    """Torch sees two GPUs, and cannot compute on them for a reason that a test names."""

    def see(error: str, capability: tuple[int, int] = (6, 1)) -> None:
        def fail(*_, **__):
            raise RuntimeError(f"{error}\nCUDA kernel errors might be reported elsewhere")

        answers = {"is_available": True, "device_count": 2, "get_device_name": "GeForce GTX 1080"}
        answers |= {"get_device_capability": capability, "get_arch_list": ["sm_70", "sm_90"]}
        for name, answer in answers.items():
            monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
        monkeypatch.setattr(torch, "ones", fail)

    return see


@pytest.mark.parametrize("name", ["gpu", "cuda:first", "cuda1", "meta", "mps"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ValueError, match=f"no device '{name}': give cuda, cuda:1 or cpu"):
        device.find_device(name)


def test_the_cpu_is_there():
    assert device.find_device("cpu") == torch.device("cpu")


def test_a_missing_gpu_is_told_with_its_driver_and_the_build_of_torch(cards, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.find_device() == torch.device("cpu")
    assert device.missing_gpu() == "no CUDA device is visible"
    cards.append("Tesla V100, driver 470.57")
    with pytest.raises(ValueError, match="no GPU here .nvidia-smi lists Tesla V100, driver 470.57"):
        device.find_device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    seen = f"nvidia-smi lists {cards[0]}, but torch {torch.__version__}, built "
    assert device.missing_gpu().startswith(f"{seen}for CUDA 12.8, sees no GPU: is the driver too")
    monkeypatch.setattr(torch.version, "cuda", None)
    build = "install a build with CUDA"
    assert device.missing_gpu() == f"{seen}without CUDA, sees no GPU: {build}"


def test_a_gpu_that_is_not_counted(gpu):
    gpu("")
    with pytest.raises(ValueError, match="there is no cuda:2 here: 2 GPU"):
        device.find_device("cuda:2")


@pytest.mark.parametrize(
    ("capability", "advice"),
    [
        ((6, 1), "sm_61, only for sm_70, sm_90; PIP_EXTRA_INDEX_URL=.*/cu126 make setup TORCH="),
        ((13, 0), "sm_130, only for sm_70, sm_90; a newer torch may have it: make setup TORCH="),
    ],
)
def test_a_gpu_that_this_torch_has_no_code_for(gpu, capability, advice):
    gpu("CUDA error: no kernel image is available for execution on the device", capability)
    with pytest.raises(ValueError, match=advice) as refused:
        device.find_device("cuda")
    assert "cannot use GeForce GTX 1080" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_another_error_is_told_in_its_first_line(gpu):
    gpu("CUDA error: all CUDA-capable devices are busy or unavailable")
    with pytest.raises(ValueError, match="GTX 1080: CUDA error: all .* unavailable$"):
        device.find_device("cuda:1")

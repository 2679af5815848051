"""What training programs save and what lies in a checkpoint's place: the right weights, or a line.

Where timm reads a checkpoint too, its answer is what ours is compared with.
"""

import argparse
import gzip
import itertools
import warnings

import pytest
import timm.models
import torch
from safetensors.torch import save, save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel
from weight_server import Server, answer

from tresnet_lite import create_model, load_weights
from tresnet_lite.checkpoints import read_checkpoint, read_tensors, unwrap
from tresnet_lite.checkpoints.state import plain_name
from tresnet_lite.train.networks import initialise_from

NARROW = {"width": 8, "depths": (1, 1, 1, 1), "num_classes": 5}


def network(seed=0):
    torch.manual_seed(seed)
    return create_model("tresnet_m", **NARROW)


def assert_loaded(model, state):
    loaded = model.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize("names", [("state_dict", "state_dict_ema"), ("model", "model_ema")])
def test_the_average_is_taken_as_timm_takes_it(tmp_path, names):
    raw, average = network(1).state_dict(), network(2).state_dict()
    content = dict(zip(names, (raw, average), strict=True))
    torch.save({"epoch": 3, "arch": "tresnet_m", **content}, tmp_path / "best.pth.tar")
    theirs = timm.models.load_state_dict(str(tmp_path / "best.pth.tar"))
    ours = load_weights(network(), tmp_path / "best.pth.tar")
    assert_loaded(ours, average)
    assert_loaded(ours, theirs)


def test_a_state_without_an_average_is_taken_as_it_is(tmp_path):
    raw = network(1).state_dict()
    for empty in (None, {}):
        torch.save({"state_dict": raw, "state_dict_ema": empty}, tmp_path / "last.pt")
        assert_loaded(load_weights(network(), tmp_path / "last.pt"), raw)


def test_an_averaged_model_of_torch_is_read():
    averaged = AveragedModel(network(1))
    assert "n_averaged" in averaged.state_dict()
    assert_loaded(load_weights(network(), averaged.state_dict()), network(1).state_dict())


def test_arguments_beside_the_weights_are_no_obstacle(tmp_path):
    """timm's train.py saves its Namespace; torch alone advises to load that unsafely."""
    state, path = network(1).state_dict(), tmp_path / "last.pth.tar"
    nested = argparse.Namespace(lr=0.1, more=argparse.Namespace(items=5, get=None))
    for old in (False, True):
        torch.save(
            {"state_dict": state, "args": nested}, path, _use_new_zipfile_serialization=not old
        )
        assert_loaded(load_weights(network(), path), state)


class Called:
    """Pickled, it is a call of Namespace with arguments."""

    def __reduce__(self):
        return argparse.Namespace, (5,)


def test_a_namespace_is_a_name_for_values_alone(tmp_path):
    torch.save({"state_dict": {}, "args": Called()}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint") as refused:
        read_tensors(tmp_path / "last.pt")
    assert "\n" not in str(refused.value)


def test_other_objects_are_refused_without_unsafe_advice(tmp_path):
    torch.save({"state_dict": {}, "layer": nn.Linear(1, 1)}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="not only tensors: its author can save the") as refused:
        load_weights(network(), tmp_path / "last.pt")
    assert "weights_only" not in str(refused.value) and "\n" not in str(refused.value)


PREFIXES = ("module.", "_orig_mod.")


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_prefixes_go_in_any_order(depth):
    state = network(1).state_dict()
    for prefixes in itertools.product(PREFIXES, repeat=depth):
        prefixed = {"".join(prefixes) + key: value for key, value in state.items()}
        assert_loaded(load_weights(network(), {"model": prefixed}), state)


def test_compiled_parts_and_wrapped_networks_have_the_plain_names():
    compiled = network(1)
    compiled.body.layer1 = torch.compile(compiled.body.layer1)
    for wrapped in (torch.compile(network(1)), nn.DataParallel(network(1)), compiled):
        assert_loaded(load_weights(network(), wrapped.state_dict()), network(1).state_dict())
    assert plain_name("body.module.weight") == "body.module.weight"  # a part of that name
    assert plain_name("my_orig_mod.weight") == "my_orig_mod.weight"


def test_a_compiled_network_is_loaded_into():
    state = network(1).state_dict()
    for wrap in (torch.compile, nn.DataParallel, lambda m: nn.DataParallel(torch.compile(m))):
        inner = network()
        wrapped = wrap(inner)
        assert load_weights(wrapped, state) is wrapped
        assert_loaded(inner, state)


def test_names_that_become_one_are_refused():
    weight = torch.ones(1)
    with pytest.raises(ValueError, match="differ only by prefixes"):
        unwrap({"weight": weight, "module.weight": weight})


def test_a_wrapper_that_holds_itself_is_no_checkpoint(tmp_path):
    endless = {}
    endless["model"] = endless
    torch.save(endless, tmp_path / "endless.pt")
    with pytest.raises(ValueError, match="this is not a checkpoint"):
        load_weights(network(), tmp_path / "endless.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused(value):
    state = network(1).state_dict()
    state["head.fc.weight"][1, 2] = value
    model, before = network(), network().state_dict()
    with pytest.raises(ValueError, match="1 with NaN or infinity, .*: head.fc.weight"):
        load_weights(model, state)
    assert_loaded(model, before)
    everything = {key: torch.full_like(x, value) for key, x in state.items() if x.ndim}
    with pytest.raises(ValueError, match="with NaN or infinity"):
        load_weights(model, everything)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGE = b"<!DOCTYPE html>\n<html>login to the hotel's network</html>"
GOOD = save({"weight": torch.arange(1000.0)})
STRANGERS = {
    "pointer": (POINTER, "is a Git LFS pointer, not the weights: `git lfs pull`"),
    "page": (PAGE, "is a web page, not weights"),
    "page without a doctype": (b"\n<html>login</html>", "is a web page, not weights"),
    "empty": (b"", "it is empty: copy or download it again"),
    "compressed": (gzip.compress(GOOD), "it is compressed: unpack it first"),
    "cut": (GOOD[:3000], "cut short"),
    "cut header": (GOOD[:20], "cut short"),
    "a few bytes": (b"abc", "cut short"),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".bin", ""])
@pytest.mark.parametrize("name", STRANGERS)
def test_what_lies_in_a_checkpoints_place_is_named_in_a_line(tmp_path, name, suffix):
    content, reason = STRANGERS[name]
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as refused:
        load_weights(network(), path)
    said = str(refused.value)
    assert "\n" not in said and str(path) in said and "weights_only" not in said


@pytest.mark.parametrize("name", STRANGERS)
def test_of_a_stranger_from_the_web_nothing_stays(tmp_path, monkeypatch, name):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    server, (content, reason) = Server(), STRANGERS[name]
    server.pages = {f"/w{suffix}": content for suffix in (".pth", ".safetensors")}
    try:
        for page in server.pages:
            with warnings.catch_warnings(), pytest.raises(ValueError, match=reason):
                warnings.simplefilter("ignore")  # it isn't encrypted
                read_checkpoint(server.url + page)
            assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    finally:
        server.http.shutdown()
        server.http.server_close()


def test_a_safetensors_by_an_address_that_does_not_end_so(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    server, state = Server(), network(1).state_dict()
    server.pages = {"/download": lambda h: answer(h, save(state))}
    try:
        with pytest.warns(UserWarning, match="not encrypted"):
            loaded = load_weights(network(), f"{server.url}/download?file=model.safetensors")
    finally:
        server.http.shutdown()
        server.http.server_close()
    assert_loaded(loaded, state)


def test_a_files_content_says_its_format_and_not_its_name(tmp_path):
    state = network(1).state_dict()
    save_file(state, tmp_path / "a.pth")
    for old in (False, True):
        file = tmp_path / "b.safetensors"
        torch.save(state, file, _use_new_zipfile_serialization=not old)
        assert_loaded(load_weights(network(), file), state)
    assert_loaded(load_weights(network(), tmp_path / "a.pth"), state)


def test_a_folder_is_named_with_what_it_holds(tmp_path):
    with pytest.raises(FileNotFoundError, match="is a folder: give a file .* but it holds none"):
        load_weights(network(), tmp_path)
    torch.save(network(1).state_dict(), tmp_path / "last.pt")
    with pytest.raises(FileNotFoundError, match="is a folder: .*such as last.pt"):
        load_weights(network(), tmp_path)
    assert "weights from" in initialise_from(network(), tmp_path)
    with pytest.raises(FileNotFoundError, match="no file ''"):
        load_weights(network(), "")


@pytest.mark.parametrize(
    "name", ["resnet10t", "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"]
)
def test_weights_of_another_network_are_refused_for_timms_too(tmp_path, name):
    torch.save(network(1).state_dict(), tmp_path / "w.pt")
    model = timm.create_model(name, num_classes=3)
    with pytest.raises(ValueError, match="the checkpoint does not fit the model"):
        initialise_from(model, tmp_path / "w.pt")
    torch.save(timm.create_model(name, num_classes=7).state_dict(), tmp_path / "w.pt")
    assert "but for the classifier" in initialise_from(model, tmp_path / "w.pt")

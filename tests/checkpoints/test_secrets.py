"""What a URL says of its user is kept nowhere: not in records, logs, checkpoints or errors."""

import io
import json
import sys

import pytest
import torch
from PIL import Image
from training_helpers import data
from weight_server import Server

from tresnet_lite.checkpoints import file_name, public_command, without_secrets
from tresnet_lite.evaluate import __main__ as evaluate
from tresnet_lite.records import collect, load
from tresnet_lite.train import __main__ as train
from tresnet_lite.train import build_network
from tresnet_lite.train.data import NAMED
from tresnet_lite.train.run_folder import differences

DIGEST = "sha256=" + "0f" * 32


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("https://host/a/w.pt", "https://host/a/w.pt"),
        ("https://host:8080/w.pt", "https://host:8080/w.pt"),
        ("http://[::1]:80/w.pt", "http://[::1]:80/w.pt"),
        ("https://me:SECRET@host/w.pt", "https://host/w.pt"),
        ("https://SECRET@host/w.pt", "https://host/w.pt"),
        ("https://host/w.pt?token=SECRET", "https://host/w.pt"),
        ("https://host?SECRET", "https://host"),
        ("HTTPS://me:SECRET@host/w.pt?a=SECRET#SECRET", "HTTPS://host/w.pt"),
        (f"https://host/w.pt?SECRET#{DIGEST}", f"https://host/w.pt#{DIGEST}"),
        (f"https://host/w.pt?SECRET#SECRET#{DIGEST}", f"https://host/w.pt#{DIGEST}"),
        ("s3://KEY:SECRET@bucket/w.pt", "s3://bucket/w.pt"),
        ("--init=https://me:SECRET@host/w.pt --lr 1", "--init=https://host/w.pt --lr 1"),
        # passwords with characters that should have been written as %40, %2F …
        ("https://me:SEC@RET@host/w.pt", "https://host/w.pt"),
        ("https://me:1/SECRET@host/w.pt", "https://host/w.pt"),
        ("https://me:SEC?RET@host/w.pt", "https://…"),
        ("https://me:SEC#RET@host/w.pt", "https://…"),
        ("https://host/w.pt?to=https://SECRET&token=SECRET", "https://host/w.pt"),
        ("https://a/x,https://me:SECRET@b/y", "https://a/x,"),
        ("https:/me:SECRET@host/w.pt?SECRET", "https://host/w.pt"),
        ("file:///a/w.pt", "file://…"),
        ("/usr/bin:/bin", "/usr/bin:/bin"),
        ("no address: a/b@c?d#e", "no address: a/b@c?d#e"),
    ],
)
def test_user_password_and_query_go(text, public):
    assert without_secrets(text) == public


def test_an_argument_is_one_word():
    """Split at its spaces, the end of a query would stay."""
    command = public_command(["train", "--init", "https://host/w.pt?token=a SECRET", "--a b"])
    assert command == "train --init https://host/w.pt --a b"


def test_the_provenance_has_no_secret(monkeypatch):
    arguments = ["/bin/train", "--init=https://me:SECRET@host/w.pt?token=SE CRET", "--seed", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert collect("cpu").command == "train --init=https://host/w.pt --seed 1"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("https://me:SECRET@host/a/last.pt?token=SECRET#SECRET", "last.pt"),
        (f"https://host/last.pt#{DIGEST}", "last.pt"),
        ("runs/a?b#c.pt", "a?b#c.pt"),
        ("timm/tresnet_m.miil_in1k", "tresnet_m.miil_in1k"),
    ],
)
def test_weights_are_named_by_their_file(source, name):
    assert file_name(source) == name


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A server in this process, and a URL of it with secrets."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setitem(NAMED, "digits", lambda _: data())
    server = Server()
    yield server, f"http://me:SECRET@{server.place}/w.pt?token=SECRET"
    server.http.shutdown()
    server.http.server_close()


def files_with_secrets(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if b"SECRET" in path.read_bytes()]


@pytest.mark.filterwarnings("ignore:.*not encrypted")
def test_a_training_and_its_evaluation_keep_no_secret(weights, tmp_path, monkeypatch, capsys):
    server, url = weights
    narrow = ["--width", "4", "--depths", "1,1,1,1"]
    settings = [*narrow, "--epochs", "1", "--batch", "8", "--size", "20", "--device", "cpu"]
    arguments = [*settings, "--init", url, "--out", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    images = data()
    sizes = {"num_classes": len(images.classes), "in_chans": images.channels}
    network = _narrow("tresnet_m", **sizes)
    file = io.BytesIO()
    torch.save({"state_dict": network.state_dict()}, file)
    server.pages["/w.pt"] = file.getvalue()
    assert train.main(arguments) == 0
    start = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    assert start["init"] == f"http://{server.place}/w.pt"
    assert f"--init {start['init']} " in start["provenance"]["command"]
    assert train.main([*arguments, "--seed", "1"]) == 2  # another run: the differences are listed
    said = capsys.readouterr()
    assert f"weights from {start['init']}" in said.out and "SECRET" not in said.out + said.err

    for label in range(3):
        (tmp_path / "photographs" / f"class{label}").mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "photographs" / f"class{label}" / "a.png")
    monkeypatch.setattr("tresnet_lite.evaluate.subjects.build_network", _narrow)
    file = io.BytesIO()
    torch.save(_narrow("tresnet_m", num_classes=3).state_dict(), file)
    server.pages["/w.pt"] = file.getvalue()
    url = url.replace("?", "?new&")
    places = ["--records", str(tmp_path / "records.jsonl"), "--keep", str(tmp_path / "kept")]
    arguments = ["--model", "tresnet_m", "--weights", url, "--size", "32", "--device", "cpu"]
    arguments += ["--data", str(tmp_path / "photographs"), "--workers", "0", *places]
    monkeypatch.setattr(sys, "argv", ["evaluate", *arguments])
    assert evaluate.main(arguments) == 0
    assert load(tmp_path / "records.jsonl")[0].model.startswith("tresnet_m (w.pt, ")
    said = capsys.readouterr()
    assert "SECRET" not in said.out + said.err and files_with_secrets(tmp_path) == []


def _narrow(name, **sizes):
    return build_network(name, **sizes, width=4, depths=(1, 1, 1, 1))


@pytest.mark.filterwarnings("ignore:.*not encrypted")
@pytest.mark.parametrize("ending", ["", "#nonsense", " "])
def test_no_error_says_a_secret(weights, tmp_path, capsys, ending):
    """The server has no such file; what stands behind # is unknown; a space is no part of a URL."""
    url = weights[1] + ending
    assert train.main(["--init", url, "--out", str(tmp_path / "run"), "--device", "cpu"]) == 2
    assert evaluate.main(["--model", "tresnet_m", "--weights", url, "--data", "digits"]) == 2
    assert train.main(["--init", url.replace("http", "ftp"), "--out", str(tmp_path / "run")]) == 2
    with pytest.raises(SystemExit):
        train.main([f"--inti={url}"])
    said = capsys.readouterr()
    assert said.err.count("error: ") == 4 and "SECRET" not in said.out + said.err


def test_an_old_run_goes_on_and_its_secret_is_not_said():
    """Its checkpoint has the URL as it was given."""
    old = {"init": "https://me:SECRET@host/w.pt?token=SECRET"}
    assert differences(old, {"init": "https://host/w.pt"}) == []
    (line,) = differences(old, {"init": None})
    assert line == "init: 'https://host/w.pt' there, None here"

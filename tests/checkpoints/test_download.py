"""Weights by URL, from a server in this process: what comes, what is refused, what stays cached."""

import base64
import contextlib
import hashlib
import io
import ssl
import threading
import time
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from weight_server import Server, answer

from tresnet_lite import create_model, load_weights
from tresnet_lite.checkpoints import download, read_checkpoint
from tresnet_lite.checkpoints.download import fetch


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The files in our cache, when called; the other programs' cache stays empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    yield lambda: sorted((tmp_path / "cache" / "tresnet_lite" / "weights").glob("*"))
    assert not (tmp_path / "torch").exists()


def saved(value=1.0, **entries) -> bytes:
    file = io.BytesIO()
    torch.save({"weight": torch.full((3,), value), **entries}, file)
    return file.getvalue()


def value(source) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it isn't encrypted
        return float(read_checkpoint(source)["weight"][0])


def sha256(content) -> str:
    return hashlib.sha256(content).hexdigest()


def test_two_urls_with_the_same_last_word_are_two_files(server, cached):
    server.pages = {"/a/last.pt": saved(1.0), "/b/last.pt": saved(2.0)}
    for _ in range(2):
        assert value(f"{server.url}/a/last.pt") == 1.0
        assert value(f"{server.url}/b/last.pt") == 2.0
    assert value(f"{server.url}/a/last.pt?version=2") == 1.0
    assert [path for path, _ in server.asked] == [
        "/a/last.pt",
        "/b/last.pt",
        "/a/last.pt?version=2",
    ]
    names = (f"{server.url}/{path}" for path in ("a/last.pt", "b/last.pt", "a/last.pt?version=2"))
    assert cached() == sorted(download.cache() / f"{sha256(name.encode())}.pth" for name in names)


def test_a_network_is_loaded_by_url_in_both_formats(server, cached):
    from safetensors.torch import save

    size = {"width": 8, "depths": (1, 1, 1, 1), "num_classes": 5}
    state = create_model("tresnet_m", **size).state_dict()
    file = io.BytesIO()
    torch.save({"model": state}, file)
    server.pages = {"/m.pth": file.getvalue(), "/m.safetensors": save(state)}
    for name in server.pages:
        with pytest.warns(UserWarning, match="not encrypted"):
            loaded = load_weights(create_model("tresnet_m", **size), server.url + name + "?x=1")
        assert all(torch.equal(loaded.state_dict()[key], state[key]) for key in state)


def test_http_is_said_to_be_open(server, cached):
    server.pages["/w.pt"] = saved()
    with pytest.warns(UserWarning, match=f"{server.url}/w.pt is not encrypted"):
        read_checkpoint(f"{server.url}/w.pt")


def test_a_digest_is_checked(server, cached):
    old, new = saved(1.0), saved(2.0)
    url = f"{server.url}/w.pt"
    server.pages["/w.pt"] = old
    with pytest.raises(ValueError, match=f"has the SHA-256 {sha256(old)}, not {sha256(new)}"):
        value(f"{url}#sha256={sha256(new)}")
    assert cached() == []
    assert value(f"{url}#sha256={sha256(old).upper()}") == 1.0
    (path,) = cached()
    server.pages["/w.pt"] = new
    assert value(url) == 1.0  # cached
    # a cached file with another digest is fetched again
    assert value(f"{url}#sha256={sha256(new)}") == 2.0 and cached() == [path]
    path.write_bytes(b"changed on the disk")
    server.pages.clear()
    with pytest.raises(ConnectionError, match="the server answers 404"):
        value(f"{url}#sha256={sha256(new)}")


def test_redirects_are_followed_without_the_password(server, cached):
    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", f"{server.url}/there/w.pt")
        handler.end_headers()

    server.pages = {"/w.pt": redirect, "/there/w.pt": saved(3.0)}
    assert value(f"http://me:pass%40word@{server.place}/w.pt") == 3.0
    basic = base64.b64encode(b"me:pass@word").decode()
    assert server.asked == [("/w.pt", f"Basic {basic}"), ("/there/w.pt", None)]


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:9/w", "ftp://127.0.0.1/w", "file:///etc/passwd"]
)
def test_no_redirect_leaves_the_encrypted_web(target):
    handler, request = download._Redirects(), download.Request("https://127.0.0.1/w")
    with pytest.raises(OSError, match="not encrypted"):
        handler.redirect_request(request, None, 302, "", {}, f"{target}?token=secret")
    assert handler.redirect_request(request, None, 302, "", {}, "https://127.0.0.1/x") is not None


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/w", "file:///etc/passwd"])
def test_no_redirect_leaves_the_web(server, cached, target):
    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    server.pages["/w.pt"] = redirect
    with pytest.raises(ConnectionError, match="it redirects to|the server answers 302"):
        value(f"{server.url}/w.pt")


def cut(handler):
    content = saved()
    answer(handler, content[: len(content) // 2], length=len(content))
    handler.close_connection = True


def cut_chunks(handler):
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"10\r\n" + saved()[:16] + b"\r\n10\r\nhalf")
    handler.close_connection = True


def without_length(handler):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(saved())


def one_member(handler):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("weights.pth", saved())
    answer(handler, file.getvalue())


@pytest.mark.parametrize(
    ("page", "error", "reason"),
    [
        (cut, ConnectionError, "the transfer was cut: [0-9,]+ of [0-9,]+ bytes"),
        (cut_chunks, ConnectionError, "cannot be fetched from here"),
        (without_length, ConnectionError, "does not say how long the file is"),
        (one_member, ValueError, "it is a zip archive of 'weights.pth': unpack it"),
        (lambda h: answer(h, b"<p>Sign in", kind="text/html"), ValueError, "is a web page"),
        (b"\n<!DOCTYPE html><p>Sign in", ValueError, "is a web page"),
        (b"Not found", ValueError, "torch.save did not write it"),
        (b"", ValueError, "it is empty"),
        (saved()[:-30], ValueError, "it does not end as an archive"),
        (None, ConnectionError, "the server answers 404.*copy the file and give its path"),
    ],
)
def test_what_is_no_whole_checkpoint_is_refused_in_a_line(server, cached, page, error, reason):
    """And nothing of it stays, so that the next try asks the server again."""
    server.pages["/w.pt"] = page
    with pytest.raises(error, match=reason) as raised:
        value(f"{server.url}/w.pt?token=secret")
    assert "\n" not in str(raised.value) and "secret" not in str(raised.value)
    assert f"{server.url}/w.pt" in str(raised.value)
    assert cached() == []
    server.pages["/w.pt"] = saved(4.0)
    assert value(f"{server.url}/w.pt?token=secret") == 4.0 and len(cached()) == 1


def test_a_file_of_unknown_length_is_taken_with_its_digest(server, cached):
    server.pages["/w.pt"] = without_length
    assert value(f"{server.url}/w.pt#sha256={sha256(saved())}") == 1.0


def test_a_zip_plants_nothing(server, cached, tmp_path):
    """torch.hub unpacked it into a cache that other programs trust."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../planted.py", "print('ran')")
    server.pages["/w.zip"] = file.getvalue()
    with pytest.raises(ValueError, match="zip archive of '../../planted.py'"):
        value(f"{server.url}/w.zip")
    assert list(tmp_path.rglob("*planted*")) == [] and cached() == []


def endless(handler):
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"1000\r\n" + bytes(0x1000) + b"\r\n")
    except OSError:  # the client has gone
        handler.close_connection = True


@pytest.mark.parametrize("page", [endless, lambda h: answer(h, b"", length=1 << 40)])
def test_a_download_is_bounded_in_size(server, cached, monkeypatch, page):
    monkeypatch.setattr(download, "LARGEST", 1 << 20)
    server.pages["/w.pt"] = page
    with pytest.raises((ValueError, ConnectionError), match="is larger than|was cut"):
        value(f"{server.url}/w.pt")
    assert cached() == []


def test_a_download_is_bounded_in_time(server, cached, monkeypatch):
    server.pages["/w.pt"] = endless
    with monkeypatch.context() as short, pytest.raises(ConnectionError, match="took longer than"):
        short.setattr(download, "LONGEST", 0)
        value(f"{server.url}/w.pt")
    released = threading.Event()
    monkeypatch.setattr(download, "SILENCE", 0.1)
    server.pages["/w.pt"] = lambda handler: released.wait(20)
    try:
        with pytest.raises(ConnectionError, match="(?i)time"):
            value(f"{server.url}/w.pt")
    finally:
        released.set()
    assert cached() == []


def sent(head, again=b"", pause=0.0):
    """A page of raw bytes, the last ones again and again until the client goes away."""

    def page(handler):
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(head)
            while again:
                handler.wfile.write(again)
                time.sleep(pause)

    return page


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "informed": sent(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a header": sent(b"HTTP/1.1 200 OK\r\nX: ", b"a", pause=0.05),
    "a part's length": sent(CHUNKED, b"0", pause=0.05),
    "trailers": sent(CHUNKED + b"1\r\na\r\n0\r\n", b"X: y\r\n"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_no_part_of_an_answer_is_endless(name, server, cached, monkeypatch):
    monkeypatch.setattr(download, "LONGEST", 0.3)
    server.pages["/w.pt"] = ENDLESS[name]
    with pytest.raises(ConnectionError, match="took longer than"):
        value(f"{server.url}/w.pt")
    assert cached() == []


def test_what_is_no_address_is_refused_in_a_line(server, cached):
    server.pages["/w.pt"] = sent(b"HTTP/1.1 302 Found\r\nLocation: http://[::1/?SECRET\r\n\r\n")
    for url in (f"{server.url}/w.pt", "http://a..b/w.pt", f"http://{'a' * 300}/w.pt"):
        with pytest.raises(
            ConnectionError, match="it is not an address, or redirects to something that is not"
        ) as raised:
            value(url)
        assert "SECRET" not in str(raised.value)


def test_a_url_in_a_path_is_refused_without_its_secrets(cached):
    """A Path makes one slash of two."""
    with pytest.raises(ValueError, match="https://host/w.pt: .* no Path") as raised:
        read_checkpoint(Path("https://me:SECRET@host/w.pt?SECRET"))
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("name", ["a folder", "a file"])
def test_a_cache_that_holds_nothing_is_told_in_a_line(name, server, cached, tmp_path, monkeypatch):
    server.pages["/w.pt"] = saved()
    url = f"{server.url}/w.pt"
    if name == "a folder":
        (download.cache() / f"{sha256(url.encode())}.pth").mkdir(parents=True)
    else:
        (tmp_path / "cache").write_text("")
    with pytest.raises(ConnectionError, match="nothing can be kept in .*: set XDG_CACHE_HOME"):
        value(url)


def test_a_planted_link_is_not_followed(server, cached, tmp_path, monkeypatch):
    """Neither under the file's name, nor under any name that can be foreseen."""
    victim, url = tmp_path / "victim", f"{server.url}/w.pt"
    victim.write_text("mine")
    server.pages["/w.pt"] = saved(5.0)
    with pytest.warns(UserWarning, match="not encrypted"):
        path = fetch(url)
    path.unlink()
    for name in (path.name, f"{path.name}.tmp", f".{path.name}.tmp", f"{path.name}.part"):
        path.with_name(name).symlink_to(victim)
    assert value(f"{url}#sha256={sha256(saved(5.0))}") == 5.0
    assert victim.read_text() == "mine" and not path.is_symlink()


def test_progress_is_for_terminals(server, cached, capsys, monkeypatch):
    server.pages["/w.pt"] = saved(pad=torch.zeros(1 << 19))
    value(f"{server.url}/w.pt")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    value(f"{server.url}/w.pt?token=secret")
    shown = capsys.readouterr().err
    assert shown.startswith(f"\r{server.url}/w.pt: ") and shown.endswith(" of 2 MB\n")
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://", "is not a URL"),
        ("https://host:port/w.pt", "is not a URL"),
        ("https://me:pass/word@host/w.pt", "is not a URL"),
        ("https://host/w t.pt", "is not a URL"),
        ("https://host/w.pt\n", "is not a URL"),
        ("https://[::1/w.pt", "is not a URL"),
        ("file:///etc/passwd", "weights come by http:// and https:// alone"),
        ("ftp://me:pass/word@host/w.pt", "weights come by http:// and https:// alone"),
        ("https://host/w.pt#sha25=00", "only sha256= and 64 hexadecimal digits"),
        ("https://host/w.pt#sha256=00", "only sha256= and 64 hexadecimal digits"),
        ("HTTPS://host/w.pt#md5", "only sha256= and 64 hexadecimal digits"),
    ],
)
def test_a_url_that_cannot_be_is_refused(url, reason):
    with pytest.raises(ValueError, match=reason) as raised:
        read_checkpoint(url)
    assert "word" not in str(raised.value).replace("password", "")


def test_without_a_network_the_error_says_what_to_do(cached):
    with pytest.raises(
        ConnectionError, match="Connection refused.*copy the file and give its path"
    ):
        value("http://127.0.0.1:9/w.pt")


def test_a_server_that_is_not_who_it_says_is_refused(server, cached):
    """An https address whose server does not speak TLS."""
    with pytest.raises(ConnectionError, match="(?i)ssl"):
        value(f"https://{server.place}/w.pt")
    assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("name", ["runs/last.pt", "runs/best.pth", "m/model.safetensors"])
def test_a_missing_file_is_no_name_on_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(FileNotFoundError, match=f"no file '{name}'.*and no folder"):
        read_checkpoint(name)
    assert list(Path().iterdir()) == []

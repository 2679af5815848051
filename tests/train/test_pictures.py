"""What pictures from anywhere can do: be seen, or be refused in bounded memory."""

import ast
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from tresnet_lite.checkout import ROOT
from tresnet_lite.evaluate.photographs import photographs
from tresnet_lite.train import pictures
from tresnet_lite.train.data import load_data
from tresnet_lite.train.pictures import FORMATS, PictureError, open_picture
from tresnet_lite.train.reading import Images
from tresnet_lite.transforms import eval_transform

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


def png(width: int, height: int, rows: bytes, depth: int = 8) -> bytes:
    """A PNG of grey with this header, whatever its rows hold."""

    def chunk(kind, content):
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture
def folder(tmp_path):
    """Two classes of images."""
    for name in ("cat", "dog"):
        (tmp_path / "p" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "p" / name / f"{number}.png")
    return tmp_path / "p"


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.eps"])
def test_no_picture_starts_another_program(tmp_path, monkeypatch, name):
    """An EPS would start Ghostscript, by whatever name it goes."""
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program starts"))
    (tmp_path / name).write_bytes(EPS)
    with Image.open(tmp_path / name) as image:
        assert image.format == "EPS"  # as Pillow alone takes it
    with pytest.raises(PictureError, match="UnidentifiedImageError"):
        open_picture(tmp_path / name)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM"])
def test_the_formats_of_photographs_are_opened(tmp_path, name):
    colour = (250, 100, 20)
    Image.new("RGB", (9, 7), colour).save(tmp_path / "x.jpg", name)
    image = open_picture(tmp_path / "x.jpg")
    assert (image.mode, image.size) == ("RGB", (9, 7))
    assert (
        np.abs(np.asarray(image).astype(int) - colour).max() <= 8
    )  # GIF's palette, JPEG's rounding
    assert name in FORMATS


def test_training_and_evaluation_open_pictures_by_it(folder, monkeypatch):
    """By ImageFolder, whose own loader would take any format; and so do the named data sets."""
    opened = []
    (folder / "cat" / "0.png").write_bytes(EPS)
    monkeypatch.setattr(Image, "open", lambda *_, formats=None, **__: opened.append(formats))
    trained, tested = load_data(folder).train, photographs(folder, 2).dataset
    for dataset in (trained, tested):
        for index in range(len(dataset)):
            with pytest.raises(PictureError):
                dataset[index]
    assert len(opened) == len(trained) + len(tested) and set(opened) == {FORMATS}


@pytest.mark.parametrize(
    ("name", "splits"), [("Imagenette", 2), ("Flowers102", 3), ("StanfordCars", 2)]
)
def test_named_data_sets_open_pictures_by_it(monkeypatch, name, splits):
    loaders = []

    class Stub(torch.utils.data.Dataset):
        classes = [("a",), ("b",)]

        def __init__(self, root, *, loader=None, **_):
            loaders.append(loader)

        def __len__(self):
            return 1

    assert hasattr(torchvision.datasets, name)
    monkeypatch.setattr(f"tresnet_lite.train.data.datasets.{name}", Stub)
    load_data({"StanfordCars": "stanford_cars"}.get(name, name.lower()))
    assert loaders == [open_picture] * splits


def test_nothing_else_opens_pictures():
    """No other module calls `Image.open`, nor a notebook."""
    files = [*(ROOT / "tresnet_lite").rglob("*.py"), *(ROOT / "notebooks").glob("*.ipynb")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    assert {name for name, text in texts.items() if "Image.open(" in text} == {"pictures.py"}
    calls = [node for node in ast.walk(ast.parse(texts["pictures.py"])) if _opens(node)]
    assert [keyword.arg for call in calls for keyword in call.keywords] == ["formats"]


def _opens(node):
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open"


@pytest.mark.parametrize("error", [*pictures.UNREADABLE, RecursionError, NotImplementedError])
def test_whatever_a_decoder_raises_is_unreadable(folder, monkeypatch, error):
    def fail(self):
        raise error("why")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    item = Images(load_data(folder).train, eval_transform(8))[0]
    assert item.image is None
    assert item.unreadable[0].endswith(f".png: {error.__name__}: why")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        EPS,
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 99,
        b"GIF89a" + b"\xff" * 30,
        b"II*\0\x08\0\0\0" + b"\xff" * 40,
        b"P5 8 8 255\n",
        b"P6 8 -8 255\n" + b"x" * 99,
        b"P2 4 4 255\n" + b"9" * 5000,
        b"BM" + b"\xff" * 60,
        b"RIFF\xff\xff\xff\xffWEBPVP8 " + b"\0" * 40,
        b"\xff\xd8\xff\xe0" + b"\xff" * 60,
    ],
    ids=range(11),
)
def test_broken_files_are_unreadable(folder, content):
    for path in folder.glob("*/*.png"):
        path.write_bytes(content)
    assert Images(load_data(folder).train, eval_transform(8))[0].unreadable
    with pytest.raises(PictureError):
        open_picture(path)


def test_a_pipe_and_a_folder_are_not_waited_for(folder):
    os.mkfifo(folder / "cat" / "9.png")
    (folder / "9.png").mkdir()
    for path in (folder / "cat" / "9.png", folder / "9.png"):
        with pytest.raises(PictureError, match="not a file"):
            open_picture(path)


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    """Pillow only warns of the smaller one."""
    (tmp_path / "x.png").write_bytes(png(side, side, bytes(side + 1)))
    with pytest.raises(PictureError, match=r"pixels"):
        open_picture(tmp_path / "x.png")


@pytest.mark.parametrize("size", [(20_000, 2), (2, 20_000)])
def test_of_a_thin_picture_the_middle_is_seen(tmp_path, size):
    """As a centre crop of the whole picture would show it."""
    row = np.arange(20_000) // 80
    image = np.stack([row] * 2) if size[0] > 2 else np.stack([row] * 2, 1)
    Image.fromarray(image.astype(np.uint8)).save(tmp_path / "x.png")
    opened = open_picture(tmp_path / "x.png")
    assert sorted(opened.size) == [2, 200]
    pixels = eval_transform(224, squash=False)(opened)
    assert pixels.mean().item() * 255 == pytest.approx(row[10_000], abs=1)


def test_pictures_of_usual_proportions_stay_whole(tmp_path):
    pixels = torch.randint(256, (3, 5, 490), dtype=torch.uint8)
    torchvision.io.write_png(pixels, str(tmp_path / "x.png"))
    seen = torch.from_numpy(np.array(open_picture(tmp_path / "x.png"))).permute(2, 0, 1)
    assert torch.equal(seen, pixels)


@pytest.mark.parametrize("name", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_seen_as_eight(tmp_path, name):
    grey = np.random.default_rng(0).integers(0, 2**16, (40, 40)).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "x.png", name)
    seen = np.asarray(open_picture(tmp_path / "x.png")).astype(float)
    assert np.abs(seen / 255 - grey[:, :, None] / 65535).max() < 1 / 255


def test_sixteen_bits_of_grey_and_of_colour_agree(tmp_path):
    """torchvision writes neither, so the rows are ours: grey, and the same as colour by libpng."""
    grey = np.arange(0, 65536, 1024, dtype=">u2").reshape(8, 8)
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    (tmp_path / "grey.png").write_bytes(png(8, 8, rows, depth=16))
    seen = torch.from_numpy(np.array(open_picture(tmp_path / "grey.png"))).permute(2, 0, 1)
    mode = torchvision.io.ImageReadMode.UNCHANGED
    decoded = torchvision.io.read_image(str(tmp_path / "grey.png"), mode)
    assert torch.equal(seen, (decoded.int() // 256).byte().expand(3, 8, 8))


def test_pixels_without_a_white_are_refused(tmp_path):
    for name, pixels in (("float", np.ones((4, 4), np.float32)), ("deep", -np.ones((4, 4), "i4"))):
        path = tmp_path / f"{name}.tif"
        Image.fromarray(pixels).save(path)
        with pytest.raises(PictureError, match="no known white: save it in 8 bits"):
            open_picture(path)


def test_an_evaluation_in_little_memory_survives_a_thin_picture(folder):
    """With 1.5 GB more than the process has, a picture of 20,000 × 2 is an image like others."""
    Image.new("RGB", (20_000, 2)).save(folder / "cat" / "thin.png")
    program = """
import resource, sys
from tresnet_lite.evaluate.photographs import photographs
from tresnet_lite.train.reading import test_loader
from tresnet_lite.transforms import eval_transform
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 1_500_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
images = photographs(sys.argv[1], 2).dataset
for batch in test_loader(images, eval_transform(224, squash=False)):
    print(len(batch.indices), batch.unreadable)
"""
    command = [sys.executable, "-c", program, str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout == "17 ()\n"

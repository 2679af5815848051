"""Files that ask for more than they hold: refused in a line, before any of it is made.

Where memory is counted, a child process may have no more than a fixed amount of it: what a hostile
file asks for would not fit.
"""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import pytest
import torch

from tresnet_lite import create_model
from tresnet_lite.checkpoints import read_tensors
from tresnet_lite.checkpoints.tensors import refuse_excess
from tresnet_lite.evaluate.subjects import subject
from tresnet_lite.train import build_network
from tresnet_lite.train.networks import describe_network
from tresnet_lite.train.recipe import Recipe
from tresnet_lite.train.run_folder import ResumeError, load_trained

NARROW = {"num_classes": 5, "width": 8, "depths": (1, 1, 1, 1)}
LEGACY = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})  # magic, version, system


class Call:
    """Pickled, it is a call of a function by its name."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class Storage:
    """Pickled, it is the name of a storage that the file says to have elsewhere."""

    def __init__(self, key, elements, kind=torch.FloatStorage):
        self.key, self.elements, self.kind = key, elements, kind


class Pickler(pickle._Pickler):  # Python's own: the one in C would look into torch's classes
    legacy = False

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        place = ("storage", obj.kind, obj.key, "cpu", obj.elements)
        return (*place, None) if self.legacy else place


def pickled(obj, legacy=False) -> bytes:
    file = io.BytesIO()
    pickler = Pickler(file, protocol=2)
    pickler.legacy = legacy
    pickler.dump(obj)
    return file.getvalue()


def tensor(shape, elements=None, stride=None, key="0", offset=0):
    """A tensor of a shape in a storage of so many elements."""
    if stride is None:
        stride = torch.empty(shape, device="meta").stride()
    elements = elements if elements is not None else torch.Size(shape).numel()
    rebuild = torch._utils._rebuild_tensor_v2
    return Call(rebuild, Storage(key, elements), offset, tuple(shape), tuple(stride), False, {})


def archive(path, obj, storages=(), compression=zipfile.ZIP_STORED, **more):
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("a/data.pkl", pickled(obj))
        file.writestr("a/version", "3")
        file.writestr("a/byteorder", "little")
        for key, content in dict(storages).items():
            file.writestr(f"a/data/{key}", content)
        for name, content in more.items():
            file.writestr(f"a/{name}", content)
    return path


def legacy(path, obj, keys=(), content=b""):
    head = b"".join(pickle.dumps(part, protocol=2) for part in LEGACY)
    end = pickle.dumps(list(keys), protocol=2)
    path.write_bytes(head + pickled(obj, legacy=True) + end + content)
    return path


def safetensors(path, shape, size):
    header = {"weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(min(size, 64)))
    return path


ONE = {"0": struct.pack("<f", 1.0)}
HUGE = (1 << 20, 1 << 20)  # 4 TB of float32
NESTED = "it holds '"

HOSTILE = {
    "a huge storage": (archive, tensor(HUGE), {"storages": ONE}, "it asks for 4,398,"),
    "a huge view": (archive, tensor(HUGE, 1), {"storages": ONE}, "it has 1 numbers for a tensor"),
    "expanded": (archive, tensor(HUGE, 1, (0, 0)), {"storages": ONE}, "it has 1 numbers"),
    "beyond its end": (archive, tensor((1,), 1, offset=9), {"storages": ONE}, "it has 1 numbers"),
    "strided": (archive, tensor((2,), 2, (1 << 40,)), {"storages": ONE}, "it has 2 numbers"),
    "negative": (archive, tensor((-1,), 1, (1,)), {"storages": ONE}, "an impossible shape"),
    "no shape": (archive, tensor((1.5,), 1, (1,)), {"storages": ONE}, "an impossible shape"),
    "many views": (
        archive,
        [tensor((1 << 12,)) for _ in range(100)],
        {"storages": {"0": bytes(4 << 12)}},
        "it asks for",
    ),
    "legacy": (legacy, tensor(HUGE), {"keys": ["0"]}, "it asks for 4,398,"),
    "legacy, a view": (legacy, tensor(HUGE, 1), {"keys": ["0"]}, "it has 1 numbers"),
    "bytes": (archive, Call(bytearray, 1 << 42), {}, "it holds '__builtin__.bytearray'"),
    "a constructor": (archive, Call(torch.Tensor, *HUGE), {}, "it holds 'torch.*Tensor'"),
    "a parameter": (archive, Call(torch.nn.Parameter, *HUGE), {}, NESTED),
    "a meta tensor": (
        archive,
        Call(torch._utils._rebuild_meta_tensor_no_storage, torch.float32, HUGE, (1, 1), False),
        {},
        NESTED,
    ),
    "code": (archive, Call(os.mkdir, "planted"), {}, "it holds 'posix.mkdir', not only tensors"),
    "compressed": (
        archive,
        tensor((1 << 20,)),
        {"storages": {"0": bytes(4 << 20)}, "compression": zipfile.ZIP_DEFLATED},
        "it would become larger",
    ),
    "two pickles": (
        archive,
        tensor((1,)),
        {"storages": ONE, "DATA.PKL": pickled(tensor(HUGE, 1))},
        "hides a member",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_a_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, obj, options, reason = HOSTILE[name]
    path = make(tmp_path / "hostile.pt", {"weight": obj}, **options)
    with pytest.raises(ValueError, match=reason) as raised:
        read_tensors(path)
    assert "\n" not in str(raised.value) and str(path) in str(raised.value)
    assert not (tmp_path / "planted").exists()


def test_what_is_refused_would_have_worked_with_honest_sizes(tmp_path):
    """The crafted files differ from good ones by their sizes alone."""
    values = torch.arange(6.0)
    storages = {"0": values.numpy().tobytes()}
    content = {"weight": tensor((2, 2), 6, (3, 1), offset=1)}
    expected = values.view(2, 3)[:, 1:]
    new = archive(tmp_path / "new.pt", content, storages)
    raw = struct.pack("<q", 6) + storages["0"]
    old = legacy(tmp_path / "old.pt", content, ["0"], raw)
    for path in (new, old):
        torch.testing.assert_close(read_tensors(path)["weight"], expected)


def test_huge_shapes_of_safetensors_are_refused(tmp_path):
    for shape, size in ((HUGE, 4 << 40), (HUGE, 64), ([1 << 62, 8], 64)):
        path = safetensors(tmp_path / "hostile.safetensors", shape, size)
        with pytest.raises(ValueError, match="cannot be read as a checkpoint") as raised:
            read_tensors(path)
        assert "\n" not in str(raised.value)
    path = safetensors(tmp_path / "good.safetensors", [16], 64)
    assert read_tensors(path)["weight"].shape == (16,)


def test_a_dict_keeps_its_methods(tmp_path):
    """An OrderedDict may bring attributes; one called "items" would be called in our code."""
    build = b"cbuiltins\n".replace(b"builtins", b"collections") + b"OrderedDict\n)R"
    path = tmp_path / "hostile.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", b"\x80\x02" + build + pickled({"items": 5})[2:-1] + b"b.")
        file.writestr("a/version", "3")
    with pytest.raises(ValueError, match="it changes a dict's attributes"):
        read_tensors(path)


def test_an_archive_of_two_directories_is_refused(tmp_path):
    """One for Python's reader, at the end, and another one for torch's, where the end points."""
    good = archive(tmp_path / "good.pt", {"weight": tensor((1,))}, ONE).read_bytes()
    evil = archive(tmp_path / "evil.pt", {"weight": tensor(HUGE, 1)}, ONE).read_bytes()
    path = tmp_path / "two.pt"
    path.write_bytes(evil[:-22] + good[:-22] + good[-22:])
    assert zipfile.ZipFile(path).namelist() == zipfile.ZipFile(tmp_path / "good.pt").namelist()
    for content in (path.read_bytes(), good + b"x", good[:-2] + b"\1\0x"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="does not end as an archive"):
            read_tensors(path)


@pytest.mark.parametrize("old", [False, True])
def test_what_torch_writes_is_read(tmp_path, old):
    """Parameters, tied and transposed tensors, types, an optimiser's and a schedule's state."""
    layer = torch.nn.Linear(3, 4)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.ones(2, 3)).sum().backward()
    optimiser.step()
    weight = layer.weight.detach()
    content = {
        "model": layer.state_dict(),
        "again": layer.state_dict(),
        "parameters": list(layer.parameters()),
        "transposed": weight.t(),
        "part": weight[1:, ::2],
        "types": [torch.ones(2).to(kind) for kind in (torch.bfloat16, torch.bool, torch.int64)],
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(5),
        "optimiser": optimiser.state_dict(),
        "schedule": torch.optim.lr_scheduler.MultiStepLR(optimiser, [1, 2]).state_dict(),
        "shape": weight.shape,
        "epoch": {"top1": 5.0, "words": ("a", "ä", None, True, 1 << 40)},
    }
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    read = read_tensors(path)
    assert repr(read) == repr(torch.load(path, weights_only=True))


LIMITED = """
import pathlib, resource, sys, torch
import safetensors.torch
from tresnet_lite import create_model, load_weights
from tresnet_lite.evaluate.subjects import subject
from tresnet_lite.train.run_folder import load_trained
model = create_model("tresnet_m", width=8, depths=(1, 1, 1, 1), num_classes=5)
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (256 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sys.argv[1:]:
    for read in (lambda p: load_weights(model, p), lambda p: subject("tresnet_m", p), load_trained):
        try:
            read(path)
        except ValueError as error:
            print(error.__cause__ and type(error.__cause__).__name__, str(error)[:300])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as on Linux")
def test_a_hostile_file_takes_no_memory(tmp_path):
    """1 MB that unpacks to 1 GB, 2 kB that ask for 4 TB, and a network of a million blocks: each
    is refused with 256 MB at hand, and none by their end.
    """
    state = create_model("tresnet_m", **NARROW).state_dict()
    bomb = archive(
        tmp_path / "bomb.pt",
        {"weight": tensor((1 << 28,))},
        {"0": bytes(1 << 30)},
        zipfile.ZIP_DEFLATED,
    )
    paths = [bomb, legacy(tmp_path / "old.pt", {"weight": tensor(HUGE)}, ["0"])]
    paths.append(archive(tmp_path / "view.pt", {"weight": tensor(HUGE, 1)}, ONE))
    assert 1_000_000 < bomb.stat().st_size < 1_100_000
    assert all(path.stat().st_size < 2000 for path in paths[1:])
    for number, change in enumerate(MADE_UP):
        paths.append(run_of(tmp_path / f"run{number}.pt", state, **change))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, paths)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum(str(path) in line for path in paths for line in lines) >= 2 * len(paths)
    assert not any("Memory" in line or "allocate" in line for line in lines)


MADE_UP = [
    {"config": {"depths": [1_000_000_000, 1, 1, 1]}},
    {"config": {"width": 1 << 20}},
    {"config": {"width": 1 << 62}},
    {"num_classes": 1 << 40},
    {"in_chans": 1 << 40},
    {"config": None, "name": "vit_giant_patch14_224"},
    {"config": None, "name": "resnet50", "num_classes": 1 << 40},
    {"config": None, "name": ["resnet50"]},
    {"config": {"depths": "many"}},
    {"config": {"depth": 5}},
    {"num_classes": "ten"},
]


def run_of(path, state, recipe=None, **changes):
    """A checkpoint of a run whose description of its network is changed."""
    network = build_network("tresnet_m", **NARROW)
    about = describe_network(network, "tresnet_m")
    config = changes.pop("config", {})
    about |= changes
    if config is None:
        del about["config"]
    else:
        about["config"] = {**about["config"], **config}
    recipe = Recipe(size=32).__dict__ | (recipe or {})
    identity = {"recipe": recipe, "model": about, "data": {}, "seed": 0}
    torch.save({"model": state, "identity": identity}, path)
    return path


@pytest.mark.parametrize("change", MADE_UP, ids=str)
def test_a_made_up_network_is_not_built(change, tmp_path):
    state = create_model("tresnet_m", **NARROW).state_dict()
    path = run_of(tmp_path / "last.pt", state, **change)
    with pytest.raises(ResumeError, match="is not a whole checkpoint: ") as raised:
        load_trained(path)
    assert "\n" not in str(raised.value)
    assert load_trained(run_of(path, state))[0].state_dict().keys() == state.keys()


@pytest.mark.parametrize(
    "recipe", [{"size": 1 << 30}, {"size": "big"}, {"surprise": 1}, {"lr": None}], ids=str
)
def test_a_made_up_recipe_is_refused(recipe, tmp_path):
    state = create_model("tresnet_m", **NARROW).state_dict()
    path = run_of(tmp_path / "last.pt", state, recipe)
    with pytest.raises(ResumeError, match="is not a whole checkpoint: "):
        subject(None, path)


@pytest.mark.parametrize(
    "content",
    [
        {"identity": {}},
        {"identity": 5, "model": {}},
        {"identity": {}, "model": {"weight": 5}},
        {"identity": {"recipe": {}, "model": {}, "data": {}}, "model": {"w": torch.ones(1)}},
        {"identity": {"recipe": {}, "model": [], "data": {}}, "model": {"w": torch.ones(1)}},
        {"identity": {"recipe": {}, "model": {"name": "tresnet_m"}, "data": {}}, "model": {}},
    ],
)
def test_a_run_with_missing_parts_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(ResumeError, match="last.pt is not a (whole )?checkpoint") as raised:
        load_trained(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "shape", [(1 << 40, 0), (1 << 20, 1), (0, 2048), (5,), ()], ids=lambda shape: f"{shape}"
)
def test_classes_are_compared_before_a_classifier_is_made(shape, tmp_path):
    """A weight of no numbers can claim any number of classes."""
    state = create_model("tresnet_m", num_classes=5).state_dict()
    state["head.fc.weight"] = torch.zeros(shape)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="the checkpoint does not fit the model"):
        subject("tresnet_m", tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["\x1b]0;title\x07", "a" * 1000, 5])
def test_names_that_an_error_cannot_print_are_refused(name, tmp_path):
    torch.save({name: torch.ones(1)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="this is not a checkpoint") as raised:
        subject("tresnet_m", tmp_path / "w.pt")
    assert str(raised.value).isprintable() and len(str(raised.value)) < 500


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(1, dtype=torch.bool),
        torch.ones(1, dtype=torch.complex64),
        torch.zeros(1, dtype=torch.float8_e4m3fn),
        torch.zeros(1, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
        torch.ones([1] * 60),
    ],
    ids=lambda value: f"{value.dtype} {value.dim()}",
)
def test_tensors_that_no_network_has_are_refused(value, tmp_path):
    """Of some, torch takes no absolute value, or loads the real part; some it cannot load."""
    from safetensors.torch import save_file

    for layout in ("layer1.0.conv1.1.weight", "head.fc.weight"):
        state = {"conv1.0.weight": torch.ones(1), layout: value}
        save_file(state, tmp_path / "w.safetensors")
        with pytest.raises(ValueError, match="this is not a checkpoint"):
            subject("tresnet_m", tmp_path / "w.safetensors")


def test_bytes_of_any_kind_are_no_traceback(tmp_path):
    """Every cut of a good file, and every byte of its pickle changed."""
    path = archive(tmp_path / "good.pt", {"weight": tensor((1,))}, ONE)
    good, changed = path.read_bytes(), tmp_path / "changed.pt"
    start = good.index(b"\x80\x02")
    for number in range(start, start + 150):
        changed.write_bytes(good[:number] + bytes([good[number] ^ 0x15]) + good[number + 1 :])
        with changed.open("rb") as file:
            try:
                refuse_excess(file)
            except ValueError as error:
                assert "\n" not in str(error)
    for number in range(0, len(good), 7):
        changed.write_bytes(good[:number])
        with pytest.raises(ValueError, match="cannot be read as a checkpoint of plain tensors"):
            read_tensors(changed)


BYTES = struct.pack("<I", 1 << 18) + b"a" * (1 << 18)
ORDERED, SIZE, COUNTER = (
    f"c{name}\n".encode()
    for name in ("collections\nOrderedDict", "torch\nSize", "collections\nCounter")
)
NUMBERS = b"(" + b"".join(b"J" + struct.pack("<i", number) + b"N" for number in range(9999)) + b"u"
NEST = b"K\x01\x85" + b"q\x05h\x05\x86" * 60  # the hash of (x, x), 60 times, takes 2 ** 60 steps
BUSY = {
    "a nested key": (b"}" + NEST + b"Ns.", "a tuple as a key"),
    "a nested key of many": (b"}(" + NEST + b"Nu.", "a tuple as a key"),
    "a nested key of a pair": (ORDERED + b"]" + NEST + b"N\x86a\x85R.", "a tuple as a key"),
    "a nested name": (
        b"(X\7\0\0\0storagectorch\nFloatStorage\n" + NEST + b"X\3\0\0\0cpuK\1tQ.",
        "a storage of an unknown kind",
    ),
    "a text, copied": (
        b"X" + BYTES + b"q\2" + SIZE + b"q\3](" + b"h\3h\2\x85R" * 9999 + b"e.",
        "copies more than it holds",
    ),
    "a dict, copied": (
        ORDERED + b"q\1}" + NUMBERS + b"q\2](" + b"h\1h\2\x85R" * 9999 + b"e.",
        "copies more than it holds",
    ),
    "a counter, copied": (
        COUNTER + b"q\1}" + NUMBERS + b"q\2](" + b"h\1h\2\x85R" * 9999 + b"e.",
        "copies more than it holds",
    ),
    "millions of dicts": (b"](" + b"}" * (5 << 20) + b"e.", "its pickle is larger than 4 MiB"),
    "a huge number": (
        b"\x8b" + struct.pack("<i", 1 << 20) + b"\1" * (1 << 20) + b".",
        "torch.save did not write it",
    ),
    "a set": (b"\x8f.", "torch.save did not write it"),
}


@pytest.mark.parametrize("name", BUSY)
def test_a_pickle_that_would_keep_its_reader_busy_is_refused(name, tmp_path):
    """Some would take years, some gigabytes: nested keys, copies of copies, a hundredfold."""
    content, reason = BUSY[name]
    path = tmp_path / "busy.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", b"\x80\2" + content)
    with pytest.raises(ValueError, match=reason):
        read_tensors(path)


@pytest.mark.parametrize(
    "keys", [Call(bytearray, 1 << 40), Call(torch.Tensor, *HUGE)], ids=["bytes", "a tensor"]
)
def test_an_old_files_names_of_storages_create_nothing(keys, tmp_path):
    """The names are a pickle of their own, behind the checkpoint."""
    path = legacy(tmp_path / "old.pt", {"weight": tensor((1,))})
    path.write_bytes(path.read_bytes().removesuffix(pickle.dumps([], 2)) + pickled(keys))
    with pytest.raises(ValueError, match=NESTED):
        read_tensors(path)


def test_a_member_of_two_names_is_refused(tmp_path):
    """Newer Pythons take the name in Unicode (an extra field), torch the other one."""
    path = archive(tmp_path / "good.pt", {"weight": tensor((1,))}, ONE)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("a/other\0name", b"")
        file.filelist[-1].orig_filename = file.filelist[-1].filename
        file.filelist[-1].filename = "a/other\0name"
    with pytest.raises(ValueError, match="hides a member"):
        read_tensors(path)


def test_a_large_archives_last_entry_must_be_whole(tmp_path):
    """Without its signature, torch's reader goes on with the small entry's other numbers."""
    good = archive(tmp_path / "good.pt", {"weight": tensor((1,))}, ONE).read_bytes()
    size, start = struct.unpack("<II", good[-10:-2])
    path = tmp_path / "large.pt"
    for mark, accepted in ((b"PK\6\6", True), (b"PK\6\0", False)):
        end64 = mark + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 4, 4, size, start)
        locator = b"PK\6\7" + struct.pack("<IQI", 0, start + size, 1)
        path.write_bytes(good[:-22] + end64 + locator + good[-22:])
        if accepted:
            assert read_tensors(path)["weight"].item() == 1.0
        else:
            with pytest.raises(ValueError, match="does not end as an archive"):
                read_tensors(path)

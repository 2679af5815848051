"""What a GPU does: `test_rehearsal.py` asks the imitated one, and on a real one it holds too.

python tests/rehearsal/behaviour.py
"""

import copy

import pytest
import torch
from torch import nn

here = torch.arange(12.0).reshape(3, 4)
there = here.to("cuda")
assert there.is_cuda and not there.is_cpu and str(there.device) == "cuda:0"
assert torch.equal(there.cpu(), here) and (there @ there.T).device.type == "cuda"

with pytest.raises(RuntimeError, match="same device.* cuda:0 and cpu"):
    there + here
assert (there + torch.tensor(2.0)).sum().item() == here.sum() + 24  # a number may come from the CPU
with pytest.raises(TypeError, match="cuda:0 device type tensor to numpy"):
    there.numpy()

# A view shares its storage, and what is gone is free.
held = torch.cuda.memory_allocated()
matrix = torch.zeros(1024, 1024, device="cuda")
view = matrix[:10]
assert torch.cuda.memory_allocated() - held == 4 * 1024**2
del matrix, view
assert torch.cuda.memory_allocated() == held
_, total = torch.cuda.mem_get_info()
with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
    torch.empty(2 * total, dtype=torch.uint8, device="cuda")
assert torch.cuda.memory_allocated() == held

# Autocast's lists: convolutions in half precision, losses in full; weights stay float32.
layer = nn.Conv2d(3, 4, 3).cuda()
images = torch.rand(2, 3, 8, 8, device="cuda")
with torch.autocast("cuda", torch.float16):
    maps = layer(images)
    loss = nn.functional.cross_entropy(maps.mean((2, 3)), torch.zeros(2, 4, device="cuda"))
    with torch.autocast("cuda", enabled=False):
        assert layer(images).dtype == torch.float32
assert (maps.dtype, loss.dtype) == (torch.float16, torch.float32)
plain = copy.deepcopy(layer).cpu()
torch.testing.assert_close(maps.float().cpu(), plain(images.cpu()), rtol=1e-2, atol=1e-2)
loss.backward()
assert layer.weight.grad.is_cuda and layer.weight.grad.dtype == torch.float32

# Gradients are those of a CPU.
layer.zero_grad()
layer(images).square().mean().backward()
plain(images.cpu()).square().mean().backward()
torch.testing.assert_close(layer.weight.grad.cpu(), plain.weight.grad)

# A module that is there already keeps its parameters: another's optimiser may hold them.
weight = layer.weight
assert layer.to("cuda").weight is weight and nn.Sequential(layer).to("cuda")[0].weight is weight

start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
start.record()
end.record()
torch.cuda.synchronize()
assert start.elapsed_time(end) >= 0
own = torch.cuda.get_device_capability() >= (8, 0)
assert torch.cuda.is_bf16_supported(including_emulation=False) == own
print("as a GPU")

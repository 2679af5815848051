"""A training step whose scaled gradients overflow float16; for a real GPU as for an imitated one.

PYTHONPATH=tests python tests/rehearsal/overflow.py
"""

import torch
from training_helpers import RECIPE, data, tresnet

from tresnet_lite.train import train
from tresnet_lite.train.trainer import Trainer

SPOILT, step = 3, Trainer.step
seeds = []
torch.cuda.manual_seed_all = seeds.append


def too_large(self, parts):
    """The scale of one step is far beyond what float16 holds."""
    spoilt = self.state.step == SPOILT
    before = [parameter.detach().clone() for parameter in self.state.model.parameters()]
    if spoilt:
        self.state.scaler.update(2.0**60)
    loss = step(self, parts)
    same = [
        torch.equal(old, new)
        for old, new in zip(before, self.state.model.parameters(), strict=True)
    ]
    assert all(same) if spoilt else not all(same)
    if spoilt:
        assert self.state.scaler.get_scale() == 2.0**59
        self.state.scaler.update(2.0**10)
    return loss


Trainer.step = too_large
network = tresnet()
seeds.clear()  # of its weights
result = train(network, data(), RECIPE, device="cuda", tell=None)
assert result.steps == 8 and all(torch.isfinite(p).all() for p in result.model.parameters())
assert len(set(seeds)) == result.steps  # dropout's, of every GPU
print("skipped, and went on")

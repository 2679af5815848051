"""Schedule, weight decay, label smoothing and moving average against closed forms and the
libraries' own.
"""

import math

import pytest
import torch
from timm.loss import LabelSmoothingCrossEntropy
from training_helpers import tresnet

from tresnet_lite import create_model
from tresnet_lite.train import (
    Recipe,
    make_ema,
    make_loss,
    make_optimizer,
    make_schedule,
    parameter_groups,
    schedule_values,
)
from tresnet_lite.train.optimisation import current_rates, half_type


@pytest.mark.parametrize(
    ("steps", "rise"), [(1000, 0.3), (7, 0.3), (10, 0.1), (3, 0.9), (2, 0.3), (1, 0.3)]
)
def test_one_cycle_is_two_half_cosines(steps, rise):
    recipe = Recipe(lr=0.4, rise=rise)
    rates, momenta = schedule_values(recipe, steps)
    rise = max(rise, 1.5 / max(steps, 2))
    top, end = rise * max(steps, 2) - 1, max(steps, 2) - 1

    def between(start, stop, part):
        return stop + (start - stop) * (1 + math.cos(math.pi * part)) / 2

    for step in range(steps):
        up, part = (True, step / top) if step <= top else (False, (step - top) / (end - top))
        expected = between(0.4 / 25, 0.4, part) if up else between(0.4, 0.4 / 25e4, part)
        assert rates[step] == pytest.approx(expected, rel=1e-9)
        assert momenta[step] == pytest.approx(
            between(0.95, 0.85, part) if up else between(0.85, 0.95, part), rel=1e-9
        )


def test_the_step_schedule_and_a_constant_momentum():
    rates, momenta = schedule_values(Recipe(lr=1.0, schedule="step", momentum=0.9), 9)
    assert rates == pytest.approx([1.0] * 3 + [0.1] * 3 + [0.01] * 3) and set(momenta) == {0.9}


@pytest.mark.parametrize("name", ["tresnet_m", "resnet50"])
def test_norms_and_biases_are_spared(name):
    model = create_model(name, width=8, depths=(1, 1, 1, 1), num_classes=5)
    names = {id(p): n for n, p in model.named_parameters()}
    spared, decayed = (
        {names[id(p)] for p in group["params"]} for group in parameter_groups(model, Recipe())
    )
    assert [group["weight_decay"] for group in parameter_groups(model, Recipe())] == [0.0, 1e-3]
    assert decayed == {
        n for n, p in model.named_parameters() if n.endswith(".weight") and p.ndim > 1
    }
    assert spared | decayed == set(names.values()) and not spared & decayed
    (everything,) = parameter_groups(model, Recipe(spare_norms=False))
    assert len(everything["params"]) == len(names) and everything["weight_decay"] == 1e-3


@pytest.mark.parametrize("nesterov", [False, True])
def test_decoupled_decay_follows_the_schedule_as_adamw_does(nesterov):
    """Against the definition, step by step: w ← w·(1 - lr·decay) - lr·(momentum's direction), rates
    as scheduled.
    """
    recipe = Recipe(lr=0.3, weight_decay=0.2, nesterov=nesterov)
    weight = torch.nn.Parameter(torch.tensor([[1.0, -2.0]], dtype=torch.float64))
    optimizer = make_optimizer(torch.nn.ParameterList([weight]), recipe)
    schedule = make_schedule(optimizer, recipe, 20)
    expected, speed = weight.detach().clone(), torch.zeros(1, 2, dtype=torch.float64)
    for step in range(20):
        gradient = torch.tensor([[math.sin(step), 0.5]], dtype=torch.float64)
        rate, momentum = current_rates(optimizer)
        speed = momentum * speed + gradient if step else gradient
        direction = gradient + momentum * speed if nesterov else speed
        expected = expected * (1 - rate * 0.2) - rate * direction
        weight.grad = gradient
        optimizer.step()
        schedule.step()
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-12, atol=1e-12)


def test_l2_decays_faster_by_the_momentum():
    """Without gradients: decoupled 1e-3 and L2 1e-4 under momentum 0.9 shrink a weight alike in the
    long run.
    """
    ends = []
    for decoupled, decay in ((True, 1e-3), (False, 1e-4)):
        recipe = Recipe(lr=0.1, momentum=0.9, weight_decay=decay, decoupled=decoupled)
        weight = torch.nn.Parameter(torch.ones(1, 1, dtype=torch.float64))
        optimizer = make_optimizer(torch.nn.ParameterList([weight]), recipe)
        for _ in range(3000):
            weight.grad = torch.zeros_like(weight)
            optimizer.step()
        ends.append(weight.item())
    assert ends[0] == pytest.approx((1 - 1e-4) ** 3000, rel=1e-9)
    # L2 starts with the momentum empty, which costs it up to 1 / (1 - 0.9) of 3000 steps; and the
    # rates differ by lr².
    assert ends[1] == pytest.approx(ends[0], rel=1e-2)


def test_label_smoothing_is_timms_and_the_definition():
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    loss = make_loss(Recipe(label_smoothing=0.1))(logits, labels)
    target = 0.1 / 5 + 0.9 * torch.nn.functional.one_hot(labels, 5).double()
    torch.testing.assert_close(loss, -(target * logits.log_softmax(1)).sum(1).mean())
    torch.testing.assert_close(loss, LabelSmoothingCrossEntropy(0.1)(logits, labels))


def test_the_moving_average_takes_in_statistics_and_leaves_the_model_alone():
    model, recipe = tresnet(), Recipe(ema=0.9)
    ema, before = make_ema(model, recipe), {k: v.clone() for k, v in model.state_dict().items()}
    expected = {k: v.clone() for k, v in before.items()}
    generator = torch.Generator().manual_seed(0)
    for step in range(30):
        decay = 0.0 if step < 2 else min(0.9, 1 - (1 + step - 1) ** (-2 / 3))
        for key, value in model.state_dict().items():
            value.copy_(before[key] + torch.rand(value.shape, generator=generator).to(value.dtype))
            moved = (
                value
                if not value.is_floating_point()
                else decay * expected[key] + (1 - decay) * value
            )
            expected[key] = moved.clone()
        ema.update(model, step=step)
    for key, value in ema.module.state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-6)
    assert make_ema(model, Recipe(ema=0.0)) is None


def test_mixed_precision_follows_the_device():
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert half_type(Recipe(), gpu) is torch.float16 and half_type(Recipe(), cpu) is None
    assert (
        half_type(Recipe(amp="bfloat16"), cpu) is torch.bfloat16
        and half_type(Recipe(amp="off"), gpu) is None
    )
    with pytest.raises(ValueError, match="auto, bfloat16 or off"):
        half_type(Recipe(amp="float16"), cpu)

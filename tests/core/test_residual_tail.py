"""The fused block ends and the `memory` settings: BatchNorm's gradients exactly, whatever is
kept.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from helpers import images, relative_error, reseed
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tresnet_lite import create_model
from tresnet_lite.layers import BlurPool2d, InPlaceABN, SqueezeExcite
from tresnet_lite.layers.residual_tail import ResidualTail, pointwise_tail, residual_tail

MEMORY = ["paper", "lean", "recompute", "min"]
# float64 through a few hundred operations, each wrong by 1e-16 of a sum of up to 1e4 terms
EXACT = 1e-10


def gradients(function, inputs, modules, weighting):
    """Output and the gradients of all inputs and parameters for a random linear loss."""
    leaves = [*inputs, *(p for module in modules for p in module.parameters())]
    output = function(*inputs)
    return output, torch.autograd.grad((output * weighting).sum(), leaves)


def norm_pair(channels, weight, dtype=torch.float64):
    """The same random norm as Inplace-ABN and as BatchNorm."""
    fused = reseed(InPlaceABN(channels, activation="identity", weight_sign="signed")).to(dtype)
    fused.weight.data[: len(weight)] = torch.tensor(weight)
    plain = nn.BatchNorm2d(channels).to(dtype)
    plain.load_state_dict(fused.state_dict())
    return fused, plain


@given(
    n=st.integers(1, 3),
    h=st.integers(2, 6),
    w=st.integers(1, 6),
    weight=st.lists(st.sampled_from([0.0, -1.0, 1e-8, -1e-3, 1.5]), min_size=1, max_size=5),
    slope=st.sampled_from([0.0, 1e-3]),
    with_se=st.booleans(),
    memory_format=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
@settings(deadline=None, max_examples=60)
def test_tail_is_norm_se_sum_activation(n, h, w, weight, slope, with_se, memory_format):
    fused, plain = norm_pair(5, weight)
    se = reseed(SqueezeExcite(5, 3), 1).double() if with_se else nn.Identity()
    act = nn.LeakyReLU(slope) if slope else nn.ReLU()
    x, shortcut, weighting = (
        images(n, 5, h, w, seed=s, dtype=torch.float64) - 0.5 for s in (1, 2, 3)
    )
    x = x.contiguous(memory_format=memory_format)
    results = [
        gradients(
            lambda x, s, bn=bn: residual_tail(x, s, bn, se, act),
            [x.clone().requires_grad_(), shortcut.clone().requires_grad_()],
            [bn, se],
            weighting,
        )
        for bn in (fused, plain)
    ]
    torch.testing.assert_close(results[0], results[1], rtol=EXACT, atol=EXACT)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(fused.get_buffer(name), buffer, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("with_se", [True, False])
@pytest.mark.parametrize("memory", ["lean", "recompute"])
def test_pointwise_tails_are_exact(memory, with_se):
    fused, plain = norm_pair(8, [0.0, -1.0, 1e-8])
    conv = reseed(nn.Conv2d(5, 8, 1, bias=False)).double()
    se = reseed(SqueezeExcite(5, 3), 1).double() if with_se else nn.Identity()
    x, shortcut = (
        images(2, 5, 4, 3, dtype=torch.float64),
        images(2, 8, 4, 3, seed=2, dtype=torch.float64),
    )
    weighting = images(2, 8, 4, 3, seed=3, dtype=torch.float64)
    results = [
        gradients(
            lambda x, s, bn=bn, m=m: pointwise_tail(x, s, se, conv, bn, nn.ReLU(), m),
            [x.clone().requires_grad_(), shortcut.clone().requires_grad_()],
            [se, conv, bn],
            weighting,
        )
        for bn, m in ((fused, memory), (plain, "paper"))
    ]
    torch.testing.assert_close(results[0], results[1], rtol=EXACT, atol=EXACT)


def narrow(**options):
    return (
        reseed(create_model("tresnet_m", num_classes=10, width=8, depths=(2, 2, 2, 2), **options))
        .double()
        .train()
    )


def network_gradients(model, run=None):
    x = images(4, 3, 64, 64, dtype=torch.float64).requires_grad_()
    y = (model if run is None else run)(x)
    (y * images(4, 10, seed=3, dtype=torch.float64)).sum().backward()
    return {"x": x.grad, "y": y.detach(), **{name: p.grad for name, p in model.named_parameters()}}


@pytest.fixture(scope="module")
def plain_network():
    model = narrow(norm="bn", memory="paper")
    return network_gradients(model), dict(model.named_buffers())


@pytest.mark.parametrize("norm", ["iabn", "bn"])
@pytest.mark.parametrize("memory", MEMORY)
def test_memory_settings_change_nothing_but_memory(memory, norm, plain_network):
    """Also the running statistics: a repeated forward must not count a batch twice."""
    model = narrow(norm=norm, memory=memory)
    expected, buffers = plain_network
    for name, gradient in network_gradients(model).items():
        assert relative_error(gradient, expected[name]) < EXACT, name
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(buffer, buffers[name], rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("memory", MEMORY)
def test_training_compiles_in_one_graph(memory, plain_network):
    torch._dynamo.reset()
    model = narrow(memory=memory)
    expected, buffers = plain_network
    for name, gradient in network_gradients(
        model, torch.compile(model, fullgraph=True, backend="aot_eager")
    ).items():
        assert relative_error(gradient, expected[name]) < EXACT, name
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(buffer, buffers[name], rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("memory", MEMORY)
def test_half_precision_gradients_are_as_good_as_batchnorms(memory):
    """Against float64, bfloat16 autocast through our norms errs no more than through BatchNorm (up
    to luck: 1.5×).
    """
    exact = network_gradients(narrow(norm="bn"))
    errors = {}
    for norm in ("iabn", "bn"):
        model = narrow(norm=norm, memory=memory).float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = model(images(4, 3, 64, 64))
        (y.float() * images(4, 10, seed=3)).sum().backward()
        errors[norm] = torch.tensor(
            [
                ((p.grad - exact[n]).norm() / exact[n].norm()).item()
                for n, p in model.named_parameters()
            ]
        ).median()
    assert errors["iabn"] < 1.5 * errors["bn"] and errors["iabn"] < 1


def test_what_a_tail_keeps():
    """Its input and its result, of the tensors of a block's size."""
    bn, _ = norm_pair(5, [1.0])
    se = reseed(SqueezeExcite(5, 3)).double()
    x, shortcut = (images(2, 5, 6, 6, seed=s, dtype=torch.float64).requires_grad_() for s in (1, 2))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        out = residual_tail(x, shortcut, bn, se, nn.ReLU())
    large = {t.untyped_storage().data_ptr() for t in kept if t.numel() >= x.numel()}
    assert large == {x.untyped_storage().data_ptr(), out.untyped_storage().data_ptr()}


@pytest.mark.parametrize("keep_input", [False, True])
def test_blur_keeps_its_padded_input_only_when_asked(keep_input):
    kept = []
    x = images(1, 2, 8, 8).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        BlurPool2d(keep_input=keep_input)(x)
    assert any(t.numel() >= x.numel() for t in kept) == keep_input


@given(h=st.integers(2, 9), w=st.integers(2, 9), stride=st.integers(1, 3))
@settings(deadline=None, max_examples=30)
def test_blur_gradient_is_autograds(h, w, stride):
    x = images(2, 3, h, w, dtype=torch.float64)
    lean, plain = (BlurPool2d(stride, keep_input=k).double() for k in (False, True))
    weighting = images(*plain(x).shape, seed=2, dtype=torch.float64)
    results = [
        gradients(layer, [x.clone().requires_grad_()], [], weighting) for layer in (lean, plain)
    ]
    torch.testing.assert_close(results[0], results[1], rtol=1e-14, atol=1e-14)


def test_blur_has_a_second_derivative():
    x = images(1, 2, 5, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradgradcheck(BlurPool2d().double(), x)


def test_checkpointed_network_survives_deepcopy_and_eval():
    model = narrow(memory="min")
    model(images(2, 3, 32, 32, dtype=torch.float64)).sum().backward()
    twin = copy.deepcopy(model).eval()
    x = images(2, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(twin(x), model.eval()(x))


@pytest.mark.parametrize("memory", ["lean", "recompute"])
def test_a_second_derivative_is_refused(memory):
    fused, _ = norm_pair(8, [1.0])
    conv, se = nn.Conv2d(5, 8, 1, bias=False).double(), SqueezeExcite(5, 3).double()
    x, shortcut = (
        images(2, 5, 4, 3, dtype=torch.float64),
        images(2, 8, 4, 3, seed=2, dtype=torch.float64),
    )

    def squares(x):
        out = pointwise_tail(x, shortcut, se, conv, fused, nn.ReLU(), memory)
        return out.square().sum()

    x.requires_grad_()
    (dx,) = torch.autograd.grad(squares(x), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        dx.sum().backward()


@pytest.mark.parametrize("with_se", [True, False])
def test_torch_func_refuses_a_second_derivative_too(with_se):
    bn, _ = norm_pair(5, [1.0])
    x, shortcut = (images(2, 5, 4, 3, seed=s, dtype=torch.float64) for s in (1, 2))
    excite = (
        [images(*shape, dtype=torch.float64) for shape in ((3, 5), (3,), (5, 3), (5,))]
        if with_se
        else [None] * 4
    )
    arguments = bn.training_arguments(x)

    def squares(x):
        out = ResidualTail.apply(x, shortcut, None, None, *excite, *arguments, 0.0)[0]
        return out.square().sum()

    assert torch.isfinite(torch.func.grad(squares)(x)).all()
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.func.grad(lambda x: torch.func.grad(squares)(x).sum())(x)


def test_plain_inversion_fails_where_the_tail_is_exact():
    """bfloat16, γ = 0.01, β = 1: reading xhat back from the output loses dγ, keeping the norm's
    input does not.
    """
    torch.manual_seed(0)
    x, dy = torch.randn(8, 64, 16, 16), torch.randn(8, 64, 16, 16)
    bn = InPlaceABN(64, activation="identity", weight_sign="signed")
    nn.init.constant_(bn.weight, 0.01)
    nn.init.constant_(bn.bias, 1.0)
    xhat = F.batch_norm(x, None, None, training=True)
    exact = (dy * xhat).sum((0, 2, 3))
    y = (xhat * 0.01 + 1).bfloat16()
    inverted = (dy * (y.float() - 1) / 0.01).sum((0, 2, 3))
    x16 = x.bfloat16().requires_grad_()
    shift = torch.full_like(x16, 1e3)  # keeps the sum positive, so that the ReLU passes everything
    residual_tail(x16, shift, bn, nn.Identity(), nn.ReLU()).backward(dy.bfloat16())

    def error(value):
        return ((value - exact).norm() / exact.norm()).item()

    assert error(inverted) > 0.05
    assert error(bn.weight.grad) < 0.01

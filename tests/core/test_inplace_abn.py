"""Inplace-ABN against BatchNorm followed by the activation, written with PyTorch's own
functions.
"""

import copy
import pickle
import shutil
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from tresnet_lite.counting.traffic import traffic
from tresnet_lite.layers import InPlaceABN, InPlaceABNSync, convert_weight_sign
from tresnet_lite.layers.inplace_abn import ACTIVATIONS

ACTIVATE = {
    "leaky_relu": F.leaky_relu,
    "identity": lambda z, _: z,
    "relu": lambda z, _: F.relu(z),
    "elu": F.elu,
}
WEIGHTS = [1.0, -0.7, 0.0, 1e-7, -1e-4, 2e-3, 3.0, -0.05]
INDUCTOR = pytest.param(
    *("leaky_relu", "inductor"),
    marks=pytest.mark.skipif(not shutil.which("c++"), reason="needs a C++ compiler"),
)
LAYOUTS = ["contiguous", "channels_last", "sliced", "transposed"]


def layer(weights=WEIGHTS, *, dtype=torch.float64, seed=0, bias=1.0, **options) -> InPlaceABN:
    """A layer with these weights, random biases in ±bias and running statistics that are not the
    initial ones.
    """
    generator = torch.Generator().manual_seed(seed)
    abn = InPlaceABN(len(weights), **options).to(dtype)
    with torch.no_grad():
        abn.weight.copy_(torch.tensor(weights))
        abn.bias.copy_(bias * (2 * torch.rand(len(weights), generator=generator) - 1))
        abn.running_mean.normal_(generator=generator)
        abn.running_var.uniform_(0.5, 2, generator=generator)
    return abn.train()


def batch(*shape: int, dtype=torch.float64, seed=1, layout="contiguous") -> torch.Tensor:
    """Random numbers of this shape, stored in one of LAYOUTS."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(
        dtype
    )
    if layout == "channels_last" and x.dim() == 4:
        return x.contiguous(memory_format=torch.channels_last)
    if layout == "sliced":
        return torch.stack([x, x + 1], dim=-1)[..., 0]
    if layout == "transposed":
        return x.transpose(0, -1).contiguous().transpose(0, -1)
    return x


def reference(abn: InPlaceABN, x: torch.Tensor, dy: torch.Tensor) -> dict[str, torch.Tensor]:
    """What BatchNorm and the activation give: values, gradients and running statistics, in
    float64.
    """
    x, dy = x.detach().double().requires_grad_(), dy.double()
    weight, bias = (p.detach().double().requires_grad_() for p in (abn.weight, abn.bias))
    mean, var = abn.running_mean.double().clone(), abn.running_var.double().clone()
    # The published gradient at weight 0 is that of a positive weight, hence not abs().
    scale = (
        weight
        if abn.weight_sign == "signed"
        else torch.where(weight < 0, -weight, weight) + abn.eps
    )
    z = F.batch_norm(x, mean, var, scale, bias, abn.training, abn.momentum, abn.eps)
    y = ACTIVATE[abn.activation](z, abn.activation_param)
    dx, dweight, dbias = torch.autograd.grad(y, (x, weight, bias), dy)
    return {
        "y": y,
        "dx": dx,
        "dweight": dweight,
        "dbias": dbias,
        "running_mean": mean,
        "running_var": var,
    }


def result(
    abn: nn.Module, x: torch.Tensor, dy: torch.Tensor, function=None
) -> dict[str, torch.Tensor]:
    """The same of the layer itself (or of ``function`` over it), which is left as it was."""
    abn = copy.deepcopy(abn) if function is None else abn
    x = x.detach().requires_grad_()
    y = abn(x) if function is None else function(x)
    dx, dweight, dbias = torch.autograd.grad(y, (x, abn.weight, abn.bias), dy)
    running = {"running_mean": abn.running_mean, "running_var": abn.running_var}
    return {"y": y, "dx": dx, "dweight": dweight, "dbias": dbias, **running}


def assert_same(got: dict, expected: dict, rtol: float, atol: float) -> None:
    for key, value in expected.items():
        torch.testing.assert_close(
            got[key],
            value.to(got[key].dtype),
            rtol=rtol,
            atol=atol,
            msg=lambda m, k=key: f"{k}: {m}",
        )


@settings(max_examples=150, deadline=None)
@given(
    weights=st.lists(st.sampled_from(WEIGHTS) | st.floats(-3, 3), min_size=1, max_size=5),
    n=st.integers(1, 4),
    space=st.lists(st.integers(1, 5), max_size=3),
    layout=st.sampled_from(LAYOUTS),
    activation=st.sampled_from(ACTIVATIONS),
    param=st.sampled_from([1e-6, 1e-3, 1e-2, 0.3, 1.0]),
    sign=st.sampled_from(["abs", "signed"]),
    bias=st.sampled_from([0.0, 1.0, 30.0]),
    training=st.booleans(),
    seed=st.integers(0, 99),
)
@example(
    [1e-7, 0.0, -1e-4, 2e-3], 4, [3, 3], "contiguous", "leaky_relu", 1e-3, "signed", 30.0, True, 0
)
@example(
    [1e-7, 0.0, -1e-4, 2e-3], 4, [3, 3], "channels_last", "leaky_relu", 1e-3, "abs", 30.0, True, 0
)
def test_equals_batch_norm_and_activation(
    weights, n, space, layout, activation, param, sign, bias, training, seed
):
    shape = (n, len(weights), *space)
    if n * torch.Size(space).numel() < 3:
        # of two values only their signs are left: every gradient is rounding
        n, shape = (
            3,
            (3, len(weights), *space),
        )
    abn = layer(
        weights,
        seed=seed,
        bias=bias,
        activation=activation,
        activation_param=param,
        weight_sign=sign,
    )
    abn.train(training)
    x, dy = batch(*shape, seed=seed, layout=layout), batch(*shape, seed=seed + 1)
    assert_same(result(abn, x, dy), reference(abn, x, dy), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("fmt", [torch.contiguous_format, torch.channels_last])
def test_layout_is_kept(fmt):
    x = batch(2, 8, 5, 3).contiguous(memory_format=fmt)
    got = result(layer(), x, batch(2, 8, 5, 3).contiguous(memory_format=fmt))
    assert got["y"].is_contiguous(memory_format=fmt) and got["dx"].is_contiguous(memory_format=fmt)


def kept_for_backward(function, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The output and the tensors that autograd holds; their storages tell a copy from the thing
    itself.
    """
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = function(x)
    return y, kept


@pytest.mark.parametrize("sign", ["abs", "signed"])
def test_keeps_only_its_output_and_vectors(sign):
    abn = layer([1.0, -2.0, 0.5, 0.1], bias=0.5, weight_sign=sign)
    y, kept = kept_for_backward(abn, batch(4, 4, 8, 8).requires_grad_())
    large = [t for t in kept if t.numel() > 4]
    assert large and {t.untyped_storage().data_ptr() for t in large} == {
        y.untyped_storage().data_ptr()
    }


def test_keeps_the_input_of_unrecoverable_channels_alone():
    abn = layer([1.0, 0.0, 1e-4, 0.5], weight_sign="signed")
    x = batch(4, 4, 8, 8).requires_grad_()
    y, kept = kept_for_backward(abn, x)
    copies = [t for t in kept if t.numel() > 4 and t.data_ptr() != y.data_ptr()]
    assert [t.shape for t in copies] == [(4, 2, 8, 8)] and torch.equal(copies[0], x[:, 1:3])


@pytest.mark.parametrize("activation", ["identity", "relu", "elu"])
def test_others_keep_their_input_and_at_most_the_output(activation):
    x = batch(4, 8, 8, 8).requires_grad_()
    y, kept = kept_for_backward(layer(activation=activation), x)
    large = {t.untyped_storage().data_ptr() for t in kept if t.numel() > 8}
    assert large == ({x.data_ptr()} if activation == "identity" else {x.data_ptr(), y.data_ptr()})


def test_the_identity_may_be_added_to_in_place():
    abn, x = layer(activation="identity"), batch(3, 8, 4, 4)
    plain = result(abn, x, dy := batch(3, 8, 4, 4, seed=2))
    assert_same(
        result(abn, x, dy, lambda t: abn(t).add_(1)), plain | {"y": plain["y"] + 1}, rtol=0, atol=0
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sign", ["abs", "signed"])
def test_gradcheck(activation, sign):
    # The weights stay clear of 0 under "abs", which has a kink there.
    abn = layer(
        [1.0, -0.6, 0.3] if sign == "abs" else [1.0, -0.6, 0.0],
        activation=activation,
        weight_sign=sign,
    )

    def function(x, weight, bias):
        state = {
            "weight": weight,
            "bias": bias,
            "running_mean": torch.zeros(3),
            "running_var": torch.ones(3),
        }
        return torch.func.functional_call(abn, {k: v.double() for k, v in state.items()}, (x,))

    x = batch(3, 3, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(function, (x, abn.weight, abn.bias))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("ratio", [0.1, 1.0, 15.9])
def test_reading_back_is_as_precise_as_promised(dtype, ratio):
    """xhat is off by at most u(|bias|/|weight| + |xhat|), so dweight by at most that times the sum
    of |dz|.
    """
    u = torch.finfo(dtype).eps / 2
    x, dy = batch(8, 4, 7, 7, dtype=dtype), batch(8, 4, 7, 7, dtype=dtype, seed=2)
    abn = layer(
        [0.3] * 4, dtype=torch.float32, bias=0.0, weight_sign="signed", activation_param=0.01
    )
    with torch.no_grad():
        abn.bias.fill_(-0.3 * ratio)
    assert not len(abn.train().spilled_channels())
    got, expected = result(abn, x, dy), reference(abn, x, dy)
    # y and the value read back from it are rounded once each, and so is dz.
    bound = (3 * u + 1e-6) * (ratio + x.abs().max().double()) * dy.abs().double().sum((0, 2, 3))
    assert torch.all((got["dweight"] - expected["dweight"]).abs() <= bound)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_weight_that_became_small_unseen_has_a_bounded_gradient(dtype, monkeypatch):
    """As where nobody looks at the weights before train() is called: in a compiled graph."""
    abn = layer([1.0] * 3, dtype=torch.float32, weight_sign="signed")
    with torch.no_grad():
        abn.weight.copy_(torch.tensor([1e-4, -1e-6, 0.0]))
    x, dy = batch(8, 3, 7, 7, dtype=dtype), batch(8, 3, 7, 7, dtype=dtype, seed=2)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    got = result(abn, x, dy)
    # |xhat| is at most what it was plus the documented 1/8.
    largest = x.abs().max().float() / x.float().std() * 1.2 + 1 / 8
    assert torch.all(got["dweight"].abs() <= largest * dy.float().abs().sum((0, 2, 3)))
    assert got["dx"].isfinite().all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_zero_initialised_norms_train(activation, dtype):
    abn = layer([0.0] * 4, dtype=torch.float32, activation=activation, weight_sign="signed")
    nn.init.ones_(abn.bias)  # relu passes nothing back where it is negative
    x, dy = batch(8, 4, 6, 6, dtype=dtype), batch(8, 4, 6, 6, dtype=dtype, seed=2)
    got, expected = result(abn, x, dy), reference(abn, x, dy)
    # dz is rounded to x's type, the sums are in float32.
    error = (got["dweight"] - expected["dweight"]).abs()
    assert torch.all(
        error
        <= (torch.finfo(dtype).eps + 1e-5)
        * dy.double().abs().mul(x.double().abs() + 1).sum((0, 2, 3))
    )
    assert torch.all(got["dweight"].abs() > 0)


def test_published_weights_of_zero_get_a_gradient():
    abn = layer([0.0, 1.0], weight_sign="abs")
    assert result(abn, batch(4, 2, 3, 3), batch(4, 2, 3, 3, seed=2))["dweight"][0] != 0


@pytest.mark.parametrize(
    ("activation", "backend"), [("leaky_relu", "aot_eager"), ("elu", "aot_eager"), INDUCTOR]
)
def test_compiles_in_one_graph(activation, backend):
    abn = layer(activation=activation, weight_sign="signed")
    twin = copy.deepcopy(abn)
    torch._dynamo.reset()
    compiled = torch.compile(twin, fullgraph=True, backend=backend)
    for seed in (1, 2):
        x, dy = batch(3, 8, 4, 4, seed=seed), batch(3, 8, 4, 4, seed=seed + 5)
        assert_same(result(twin, x, dy, compiled), result(abn, x, dy, abn), rtol=1e-10, atol=1e-10)
    assert twin.num_batches_tracked == 2


def test_a_compiled_layer_learns_of_small_weights_from_train():
    twin = layer([1.0, 0.5, 0.5], weight_sign="signed")
    torch._dynamo.reset()
    compiled = torch.compile(twin, fullgraph=True, backend="aot_eager")
    compiled(batch(3, 3, 4, 4))
    nn.init.zeros_(twin.weight)
    twin.train()
    x, dy = batch(3, 3, 4, 4), batch(3, 3, 4, 4, seed=2)
    expected = reference(twin, x, dy)
    assert_same(result(twin, x, dy, compiled), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_keeps_the_input_type_and_float32_statistics(dtype):
    conv, abn = (
        nn.Conv2d(3, 4, 1),
        layer([1.0, -0.5, 0.2, 0.0], dtype=torch.float32, weight_sign="signed"),
    )
    with torch.autocast("cpu", dtype):
        x = conv(torch.randn(4, 3, 6, 6))
        y = abn(x)
    y.float().square().sum().backward()
    assert (x.dtype, y.dtype, abn.weight.grad.dtype, abn.running_var.dtype) == (
        dtype,
        dtype,
        *[torch.float32] * 2,
    )
    with torch.autocast("cpu", dtype):
        assert abn.eval()(x).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_modules_reduce_in_float32(dtype):
    """1000 values of mean 4: a half accumulator would stop growing long before their sum."""
    x = (4 + batch(1000, 2, 1, 1)).to(dtype)
    abn = InPlaceABN(2, momentum=1.0).to(dtype)
    abn(x)
    expected = x.double().mean((0, 2, 3)).to(dtype)
    torch.testing.assert_close(abn.running_mean, expected, rtol=torch.finfo(dtype).eps, atol=0)
    assert abn.eval()(x).dtype == dtype


def test_torch_func_grad_and_jacobian():
    abn, x, dy = layer(weight_sign="signed"), batch(3, 8, 2, 2), batch(3, 8, 2, 2, seed=2)
    expected = reference(abn, x, dy)
    parameters = {k: p.detach() for k, p in abn.named_parameters()}
    # A buffer that is updated has to be an argument, as with BatchNorm.
    buffers = {k: b.clone() for k, b in abn.named_buffers()}

    def loss(parameters, x, buffers):
        return (torch.func.functional_call(abn, (parameters, buffers), (x,)) * dy).sum()

    dparameters, dx = torch.func.grad(loss, argnums=(0, 1))(parameters, x, buffers)
    got = {"dx": dx, "dweight": dparameters["weight"], "dbias": dparameters["bias"]}
    assert_same(got, {k: expected[k] for k in got}, rtol=1e-10, atol=1e-10)

    def values(x, buffers):
        return torch.func.functional_call(abn, (parameters, buffers), (x,))

    jacobian = torch.func.jacrev(values)(x, buffers)
    torch.testing.assert_close(
        torch.einsum("ncij,ncijmdkl->mdkl", dy, jacobian), expected["dx"], rtol=1e-10, atol=1e-10
    )


def test_non_reentrant_checkpoint():
    abn, x, dy = layer(weight_sign="signed"), batch(3, 8, 4, 4), batch(3, 8, 4, 4, seed=2)
    # updated twice
    expected = {k: v for k, v in reference(abn, x, dy).items() if not k.startswith("running")}
    got = result(abn, x, dy, lambda t: checkpoint(abn, t, use_reentrant=False))
    assert_same(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_second_derivatives_are_refused(activation):
    abn, x = layer(activation=activation), batch(3, 8, 2, 2).requires_grad_()
    (dx,) = torch.autograd.grad(abn(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        dx.sum().backward()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_evaluating_runs_no_activation_that_does_nothing(activation):
    """A norm without activation is one pass over the map, and one with an activation is two."""
    abn = layer(activation=activation).eval()
    x = batch(2, len(WEIGHTS), 4, 4)
    passes = [operation for operation in traffic(abn, x) if operation.read >= x.nbytes]
    assert len(passes) == (1 if activation == "identity" else 2)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_exports_in_eval(activation):
    abn = layer(dtype=torch.float32, activation=activation).eval()
    x = batch(4, 8, 5, 5, dtype=torch.float32)
    program = torch.export.export(abn, (x,), dynamic_shapes=({0: torch.export.Dim("n", min=2)},))
    torch.testing.assert_close(program.module()(x[:3]), abn(x[:3]))


def test_survives_deepcopy_and_pickle_after_a_step():
    abn, x, dy = layer(weight_sign="signed"), batch(3, 8, 4, 4), batch(3, 8, 4, 4, seed=2)
    abn(x).sum().backward()
    twins = copy.deepcopy(abn), pickle.loads(pickle.dumps(abn))
    expected = result(abn, x, dy)
    for twin in twins:
        assert_same(result(twin, x, dy), expected, rtol=0, atol=0)


def test_without_affine_parameters():
    abn, x = InPlaceABN(4, affine=False).double(), batch(3, 4, 5, 5)
    expected = F.leaky_relu(F.batch_norm(x, None, None, training=True), 0.01)
    torch.testing.assert_close(abn(x), expected, rtol=1e-10, atol=1e-10)
    assert list(abn.state_dict()) == ["running_mean", "running_var"]


def test_works_on_meta():
    abn = InPlaceABN(4).to("meta")
    assert abn(torch.empty(2, 4, 3, 3, device="meta")).shape == (2, 4, 3, 3)


# State


def test_state_is_the_published_and_batch_norms():
    names = ["weight", "bias", "running_mean", "running_var"]
    assert list(InPlaceABN(3).state_dict()) == names
    assert list(InPlaceABN(3, weight_sign="signed").state_dict()) == list(
        nn.BatchNorm2d(3).state_dict()
    )


def test_states_load_either_way():
    norm, signed, published = nn.BatchNorm2d(3), InPlaceABN(3, weight_sign="signed"), InPlaceABN(3)
    norm.num_batches_tracked.fill_(7)
    for layer_ in (signed, published):
        nn.Sequential(layer_).load_state_dict(nn.Sequential(norm).state_dict(), strict=True)
    assert signed.num_batches_tracked == 7
    signed.load_state_dict(published.state_dict(), strict=True)
    assert signed.num_batches_tracked == 7
    norm.load_state_dict(signed.state_dict(), strict=True)
    with pytest.raises(RuntimeError, match="Missing key.*weight"):
        signed.load_state_dict(
            {k: v for k, v in norm.state_dict().items() if k != "weight"}, strict=True
        )


@given(weights=st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=6), as_state=st.booleans())
@settings(deadline=None)
def test_reading_converts_there_and_back(weights, as_state):
    published = layer(weights, dtype=torch.float32)
    signed, back = InPlaceABN(len(weights), weight_sign="signed"), InPlaceABN(len(weights))
    if as_state:
        signed.load_state_dict(convert_weight_sign(published.state_dict(), "signed"), strict=True)
        back.load_state_dict(convert_weight_sign(signed.state_dict(), "abs"), strict=True)
    else:
        signed = convert_weight_sign(copy.deepcopy(published), "signed")
        back = convert_weight_sign(copy.deepcopy(signed), "abs")
    assert list(signed.state_dict()) == list(nn.BatchNorm2d(1).state_dict())
    assert list(back.state_dict()) == list(published.state_dict())
    x = batch(3, len(weights), 4, 4, dtype=torch.float32)
    outputs = [m.train()(x) for m in (published, signed, back)]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=0)
    torch.testing.assert_close(back.weight, published.weight.abs(), rtol=2**-23, atol=1e-5 * 2**-23)


def test_weights_below_eps_have_no_published_reading():
    net = nn.Sequential(layer(weight_sign="signed"), layer([1.0, 0.5], weight_sign="signed"))
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=r"0: channels \[1, 2, 3, 4, 7\]"):
        convert_weight_sign(net, "abs")
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items()) and len(
        before
    ) == len(net.state_dict())


# Bad input


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"activation": "gelu"}, ValueError, "leaky_relu, identity"),
        ({"activation_param": -0.1}, ValueError, "must not be negative"),
        ({"weight_sign": "plus"}, ValueError, "abs, signed"),
        ({"backend": "cuda"}, ValueError, "auto, native, mapillary"),
        ({"backend": "triton"}, ValueError, "auto, native, mapillary, got 'triton'"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        InPlaceABN(4, **options)


def test_bad_inputs():
    abn = InPlaceABN(4)
    with pytest.raises(ValueError, match=r"\(N, 4, ...\), got \(2, 3, 5, 5\)"):
        abn(torch.ones(2, 3, 5, 5))
    with pytest.raises(ValueError, match="got"):
        abn(torch.ones(4))
    with pytest.raises(TypeError, match="floating-point"):
        abn(torch.ones(2, 4, 5, 5, dtype=torch.uint8))


def test_one_value_a_channel_is_refused_as_batch_norm_does():
    x = torch.ones(1, 4, 1, 1)
    for norm in (nn.BatchNorm2d(4), InPlaceABN(4)):
        with pytest.raises(
            ValueError, match="Expected more than 1 value per channel when training, got input size"
        ):
            norm(x)
    assert InPlaceABN(4).eval()(x).shape == x.shape


def test_the_output_may_not_be_changed_before_backward():
    y = layer()(batch(2, 8, 3, 3).requires_grad_())
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.add_(1).sum().backward()


def test_synchronised_layers_need_a_process_group():
    with pytest.raises(RuntimeError, match="init_process_group"):
        InPlaceABNSync(4)(torch.ones(2, 4, 3, 3))
    assert InPlaceABNSync(4).eval()(torch.ones(2, 4, 3, 3)).shape == (2, 4, 3, 3)


# The published package


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "inplace_abn", None)
    with pytest.raises(ImportError, match="python -m tresnet_lite.bench.install_iabn"):
        InPlaceABN(4, backend="mapillary")
    assert InPlaceABN(4, backend="auto").backend == "native"


@pytest.mark.parametrize("activation", ["leaky_relu", "identity", "elu"])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_published_package(activation, training):
    """Its sums over a channel run in float32 from one end to the other, hence n·u on the weights'
    gradients.
    """
    pytest.importorskip("inplace_abn", exc_type=ImportError)
    weights = [1.0, -0.7, 0.3, 3.0, -0.05]
    ours = layer(weights, dtype=torch.float32, activation=activation, bias=0.5).train(training)
    theirs = layer(
        weights, dtype=torch.float32, activation=activation, bias=0.5, backend="mapillary"
    ).train(training)
    assert theirs.backend == "mapillary" and "backend=mapillary" in repr(theirs)
    x, dy = batch(4, 5, 6, 6, dtype=torch.float32), batch(4, 5, 6, 6, dtype=torch.float32, seed=2)
    # it overwrites its input, which must not be a leaf
    got = result(theirs, x, dy, lambda t: theirs(t * 1))
    assert_same(result(ours, x, dy), got, rtol=2e-5, atol=2e-5)


def test_the_published_package_is_not_asked_for_what_it_lacks():
    pytest.importorskip("inplace_abn", exc_type=ImportError)
    for options in ({"weight_sign": "signed"}, {"activation": "relu"}):
        with pytest.raises(ValueError, match="no relu: it needs weight_sign='abs'"):
            InPlaceABN(4, backend="mapillary", **options)
    with pytest.raises(TypeError, match="use backend 'native'"):
        InPlaceABN(4, backend="mapillary")(torch.ones(2, 4, 3, 3, dtype=torch.bfloat16))

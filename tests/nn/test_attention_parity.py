"""Attention and the transformer block against PyTorch in float64: values and gradients."""

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

RNG = np.random.default_rng(22)


def ours_with_gradients(layer, inputs, flow, **options):
    tensors = [cr.tensor(x) for x in inputs]
    with cr.GradientTape() as tape:
        for x in tensors:
            tape.watch(x)
        outputs = layer(*tensors, **options)
        total = cr.sum(outputs * flow)
    return outputs, tape.gradient(total, [*tensors, *layer.trainable_variables])


def assert_close(ours, theirs):
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-9, atol=1e-12)


def in_projections(layer):
    kernels = (layer.query_kernel, layer.key_kernel, layer.value_kernel)
    biases = (layer.query_bias, layer.key_bias, layer.value_bias)
    return kernels, biases


def copy_attention(theirs, layer):
    """PyTorch's kernels are (outputs, inputs), those of query, key and value below each other."""
    kernels, biases = in_projections(layer)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.tensor(np.concatenate([k.numpy().T for k in kernels])))
        theirs.in_proj_bias.copy_(torch.tensor(np.concatenate([b.numpy() for b in biases])))
        theirs.out_proj.weight.copy_(torch.tensor(layer.output_kernel.numpy().T))
        theirs.out_proj.bias.copy_(torch.tensor(layer.output_bias.numpy()))


@pytest.mark.parametrize("masks", ["none", "padding", "attention", "causal", "both"])
@pytest.mark.parametrize("cross", [False, True])
def test_multi_head_attention(masks, cross):
    width, heads, rows, queries = 8, 2, 3, 5
    keys = 6 if cross else queries
    layer = cr.layers.MultiHeadAttention(
        heads, width // heads, causal=masks == "causal", bias_initializer="normal", dtype="float64"
    )
    query = RNG.normal(size=(rows, queries, width))
    inputs = [query, *(RNG.normal(size=(rows, keys, width)) for _ in range(2))][: 3 if cross else 1]
    layer(*inputs)
    theirs = torch.nn.MultiheadAttention(width, heads, batch_first=True, dtype=torch.float64)
    copy_attention(theirs, layer)
    mask = attention_mask = None
    if masks in ("padding", "both"):
        mask = np.arange(keys) < np.array([[keys], [2], [4]])
    if masks in ("attention", "both"):
        attention_mask = RNG.random((queries, keys)) < 0.7
        attention_mask[:, 0] = True  # where nothing is seen PyTorch has NaN
    hidden = None if attention_mask is None else torch.tensor(~attention_mask)
    if masks == "causal":
        hidden = torch.tensor(np.arange(keys) > np.arange(queries)[:, None])
    flow = RNG.normal(size=(rows, queries, width))
    if mask is not None and not cross:
        flow *= mask[..., None]  # padded queries differ: they count as zeros here
    outputs, gradients = ours_with_gradients(
        layer, inputs, flow, mask=mask, attention_mask=attention_mask
    )
    leaves = [torch.tensor(x, requires_grad=True) for x in inputs]
    q, v, k = leaves if cross else leaves * 3
    expected, _ = theirs(
        q, k, v, attn_mask=hidden, key_padding_mask=None if mask is None else torch.tensor(~mask)
    )
    (expected * torch.tensor(flow)).sum().backward()
    counted = np.ones((rows, queries), bool) if mask is None or cross else mask
    assert_close(outputs.numpy()[counted], expected.detach().numpy()[counted])
    for ours, leaf in zip(gradients, leaves, strict=False):
        assert_close(ours, leaf.grad.numpy())
    by_name = dict(zip(layer.weights, gradients[len(leaves) :], strict=True))
    parts = [by_name[f"{name}_kernel"].numpy().T for name in ("query", "key", "value")]
    assert_close(np.concatenate(parts), theirs.in_proj_weight.grad.numpy())
    parts = [by_name[f"{name}_bias"].numpy() for name in ("query", "key", "value")]
    assert_close(np.concatenate(parts), theirs.in_proj_bias.grad.numpy())
    assert_close(by_name["output_kernel"].numpy().T, theirs.out_proj.weight.grad.numpy())
    assert_close(by_name["output_bias"], theirs.out_proj.bias.grad.numpy())


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("masked", [False, True])
def test_transformer_block(activation, masked):
    width, heads, units, rows, time = 8, 2, 12, 3, 5
    layer = cr.layers.TransformerBlock(heads, width // heads, units, activation, dtype="float64")
    x = RNG.normal(size=(rows, time, width))
    layer(x)
    layer.set_weights([RNG.normal(size=value.shape) for value in layer.get_weights()])
    theirs = torch.nn.TransformerEncoderLayer(
        width, heads, units, dropout=0.0, activation=activation, batch_first=True,
        norm_first=True, dtype=torch.float64,
    )  # fmt: skip
    copy_attention(theirs.self_attn, layer.attention)
    pairs = [
        (theirs.norm1.weight, layer.attention_normalization.gamma),
        (theirs.norm1.bias, layer.attention_normalization.beta),
        (theirs.norm2.weight, layer.normalization.gamma),
        (theirs.norm2.bias, layer.normalization.beta),
        (theirs.linear1.weight, layer.expand.kernel),
        (theirs.linear1.bias, layer.expand.bias),
        (theirs.linear2.weight, layer.contract.kernel),
        (theirs.linear2.bias, layer.contract.bias),
        (theirs.self_attn.out_proj.weight, layer.attention.output_kernel),
    ]
    with torch.no_grad():
        for target, source in pairs:
            target.copy_(torch.tensor(source.numpy().T))
    mask = np.arange(time) < np.array([[time], [2], [4]]) if masked else None
    flow = RNG.normal(size=x.shape)
    if masked:
        flow *= mask[..., None]
    outputs, gradients = ours_with_gradients(layer, [x], flow, mask=mask)
    leaf = torch.tensor(x, requires_grad=True)
    hidden = torch.tensor(~mask) if masked else None
    expected = theirs(leaf, src_key_padding_mask=hidden)
    (expected * torch.tensor(flow)).sum().backward()
    counted = mask if masked else np.ones((rows, time), bool)
    assert_close(outputs.numpy()[counted], expected.detach().numpy()[counted])
    assert_close(gradients[0], leaf.grad.numpy())
    by_variable = {
        id(variable): gradient
        for variable, gradient in zip(layer.trainable_variables, gradients[1:], strict=True)
    }
    for target, source in pairs:
        assert_close(by_variable[id(source)].numpy().T, target.grad.numpy())

"""Recurrent layers against PyTorch, in float64: outputs, states and gradients."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr

pytestmark = pytest.mark.parity
RNG = np.random.default_rng(31)
ROWS, STEPS, WIDTH, UNITS = 4, 7, 3, 5
X = RNG.standard_normal((ROWS, STEPS, WIDTH))
LENGTHS = [7, 2, 5, 1]
TORCH_NAMES = {"SimpleRNN": "RNN", "LSTM": "LSTM", "GRU": "GRU"}


def _reordered(kind: str, array: Any) -> Any:
    """PyTorch's gates of a GRU are r, z, n; ours z, r, h."""
    if kind != "GRU":
        return array
    first, second, third = np.split(array, 3)
    return np.concatenate([second, first, third])


def _pair(kind: str, levels: int, both: bool) -> tuple[cr.Layer, Any, list[Any]]:
    """Our layer and PyTorch's with equal weights, and PyTorch's parameters of each cell."""
    torch = pytest.importorskip("torch")
    layer = getattr(cr.layers, kind)(
        UNITS, num_layers=levels, bidirectional=both, return_sequences=True, return_state=True,
        dtype="float64",
    )  # fmt: skip
    module = getattr(torch.nn, TORCH_NAMES[kind])(
        WIDTH, UNITS, levels, batch_first=True, bidirectional=both, dtype=torch.float64
    )
    layer(X)
    parameters = []
    for place, cell in enumerate(layer._cells()):
        suffix = f"l{place // (1 + both)}" + ("_reverse" if both and place % 2 else "")
        names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
        found = [getattr(module, f"{name}_{suffix}") for name in names]
        parameters.append(found)
        kernel, recurrent, bias, second = (
            _reordered(kind, parameter.detach().numpy()) for parameter in found
        )
        cell.kernel.assign(kernel.T)
        cell.recurrent_kernel.assign(recurrent.T)
        cell.bias.assign(bias if kind == "GRU" else bias + second)
        if kind == "GRU":
            cell.recurrent_bias.assign(second)
    return layer, module, parameters


def _close(ours: Any, theirs: Any) -> None:
    theirs = theirs.detach().numpy() if hasattr(theirs, "detach") else theirs
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("kind", TORCH_NAMES)
def test_parity(kind: str, levels: int, both: bool, packed: bool) -> None:
    layer, module, parameters = _pair(kind, levels, both)
    torch = pytest.importorskip("torch")
    width = UNITS * (1 + both)
    flow = RNG.standard_normal((ROWS, STEPS, width))
    first = RNG.standard_normal((2, len(parameters), ROWS, UNITS))
    x, given = torch.tensor(X, requires_grad=True), torch.tensor(first, requires_grad=True)
    start = (given[0], given[1]) if kind == "LSTM" else given[0]
    rnn = torch.nn.utils.rnn
    source = rnn.pack_padded_sequence(x, LENGTHS, True, enforce_sorted=False) if packed else x
    theirs, end = module(source, start)
    theirs = rnn.pad_packed_sequence(theirs, True)[0] if packed else theirs
    (theirs * torch.tensor(flow)).sum().backward()

    mask = cr.sequence_mask(LENGTHS, STEPS) if packed else None
    ours_x, ours_given = cr.Variable(X), cr.Variable(first)
    variables = layer.trainable_variables
    with cr.GradientTape() as tape:
        states = [
            tuple(ours_given[part, place] for part in range(len(cell.state_sizes)))
            for place, cell in enumerate(layer._cells())
        ]
        outputs, ends = layer(
            ours_x, mask=mask, initial_state=states if len(states) > 1 else states[0]
        )
        total = cr.sum(outputs * flow)
    _close(outputs, theirs)
    ends = ends if len(states) > 1 else [ends]
    for part, theirs_end in enumerate(end if kind == "LSTM" else [end]):
        for place, state in enumerate(ends):
            _close(state[part], theirs_end[place])
    gradients = tape.gradient(total, [ours_x, ours_given, *variables])
    _close(gradients[0], x.grad)
    parts = len(layer._cells()[0].state_sizes)
    _close(gradients[1][:parts], given.grad.numpy()[:parts])
    flows = {id(v): g for v, g in zip(variables, gradients[2:], strict=True)}
    for cell, found in zip(layer._cells(), parameters, strict=True):
        kernel, recurrent, bias, second = (_reordered(kind, p.grad.numpy()) for p in found)
        _close(flows[id(cell.kernel)], kernel.T)
        _close(flows[id(cell.recurrent_kernel)], recurrent.T)
        _close(flows[id(cell.bias)], bias)
        if kind == "GRU":
            _close(flows[id(cell.recurrent_bias)], second)


@pytest.mark.parametrize("kind", TORCH_NAMES)
def test_parity_of_cells(kind: str) -> None:
    torch = pytest.importorskip("torch")
    layer, _, parameters = _pair(kind, 1, False)
    module = getattr(torch.nn, TORCH_NAMES[kind] + "Cell")(WIDTH, UNITS, dtype=torch.float64)
    with torch.no_grad():
        for mine, other in zip(module.parameters(), parameters[0], strict=True):
            mine.copy_(other)
    h, c = RNG.standard_normal((2, ROWS, UNITS))
    state = (h, c) if kind == "LSTM" else (h,)
    tensors = tuple(map(torch.tensor, state))
    expected = module(torch.tensor(X[:, 0]), tensors if kind == "LSTM" else tensors[0])
    output, new = layer.cell(X[:, 0], tuple(map(cr.tensor, state)))
    for found, part in zip(new, expected if kind == "LSTM" else [expected], strict=True):
        _close(found, part)
    assert output is new[0]

"""Random numbers: known answers, distributions, independence, same bits in another process."""

import subprocess
import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, DTypeError
from chainrule.graph import operations as ops

random = cr.random

# Known answers of Random123 (kat_vectors, threefry2x32, 20 rounds): counter, key, result.
KNOWN = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


MASK = 0xFFFFFFFF


def words_of_counter(key, counter):
    """The definition of Threefry-2x32 in whole numbers."""
    schedule = (*key, key[0] ^ key[1] ^ 0x1BD11BDA)
    x0, x1 = ((c + k) & MASK for c, k in zip(counter, key, strict=True))
    rotations = (13, 15, 26, 6, 17, 29, 16, 24)
    for number in range(20):
        distance = rotations[number % 8]
        x0 = (x0 + x1) & MASK
        x1 = ((x1 << distance | x1 >> (32 - distance)) & MASK) ^ x0
        if number % 4 == 3:
            added = number // 4 + 1
            x0 = (x0 + schedule[added % 3]) & MASK
            x1 = (x1 + schedule[(added + 1) % 3] + added) & MASK
    return x0, x1


def words(key, counters, count):
    half = (count + 1) // 2
    pairs = [words_of_counter(key, [(first + i) & MASK for first in counters]) for i in range(half)]
    return ([x0 for x0, _ in pairs] + [x1 for _, x1 in pairs])[:count]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_threefry_known_answers(counter, key, expected):
    assert words_of_counter(key, counter) == expected
    key = cr.tensor(np.array(key, "uint32"))
    found = ops.random_bits(key, cr.tensor(np.array(counter, "uint32")), (2,))
    assert tuple(found.tolist()) == expected


@pytest.mark.parametrize("seed", [0, 7, 2**32 + 5, 2**64 - 1])
def test_bits_are_those_of_the_definition(seed):
    key = seed >> 32, seed & MASK
    for count in (0, 1, 2, 3, 31, 32, 33, 127, 290):
        expected = words(key, (0, (count + 1) // 2), count)
        assert random.bits(random.key(seed), count).tolist() == expected
        jitted = cr.jit(lambda k, count=count: random.bits(k, count))
        assert jitted(random.key(seed)).tolist() == expected
    flat = [number for pair in random.split(random.key(seed), 3).tolist() for number in pair]
    assert flat == words(key, (0, 3), 6)
    folded = random.fold_in(random.key(seed), 2**40 + 9).tolist()
    assert folded == list(words_of_counter(key, (9, 2**8)))


def test_same_bits_in_another_process():
    program = (
        "import chainrule as cr; k = cr.random.key(5);"
        "print(cr.random.normal(k, (3,)).tolist(), cr.random.permutation(k, 5).tolist())"
    )
    other = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    k = random.key(5)
    assert (
        other.stdout.strip()
        == f"{random.normal(k, (3,)).tolist()} {random.permutation(k, 5).tolist()}"
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(dtype):
    n, keys = 200_000, random.split(random.key(1), 4)
    u = random.uniform(keys[0], (n,), dtype=dtype).numpy()
    assert u.dtype == dtype
    assert u.min() >= 0
    assert u.max() < 1
    histogram, _ = np.histogram(u, 100, (0, 1))
    assert ((histogram - n / 100) ** 2 / (n / 100)).sum() < 160  # chi-squared, 99 degrees: p > 1e-4
    z = random.normal(keys[1], (n,), 3.0, 2.0, dtype).numpy()
    assert z.mean() == pytest.approx(3, abs=0.03)
    assert z.std() == pytest.approx(2, abs=0.02)
    assert ((z - 3) ** 4).mean() / 16 == pytest.approx(3, abs=0.1)
    t = random.truncated_normal(keys[2], (n,), dtype=dtype).numpy()
    assert np.abs(t).max() <= 2
    assert t.std() == pytest.approx(0.8796256610342398, abs=0.01)
    b = random.bernoulli(keys[3], 0.3, (n,)).numpy()
    assert b.mean() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("count", [1 << 17, (1 << 17) + 1, 199_999])
def test_many_numbers_have_the_bits_of_the_definition(count):
    k = random.key(2**40 + 3)

    def draw():
        yield random.bits(k, count)
        yield random.uniform(k, (count,))
        yield random.uniform(k, (count,), -0.1, 0.3)
        yield random.uniform(k, (count // 2,), -0.1, 0.3, dtype="float64")

    found = list(draw())
    with cr.settings(backend="reference"):
        expected = list(draw())
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    traced = cr.jit(lambda k: random.uniform(k, (count,), -0.1, 0.3))(k)
    np.testing.assert_allclose(traced.numpy(), expected[2].numpy(), rtol=1e-6, atol=1e-8)
    few = random.uniform(k, (5,), -0.1, 0.3)
    unit = random.uniform(k, (5,))
    same = np.minimum(unit.numpy() * np.float32(0.3 + 0.1) + np.float32(-0.1), np.float32(0.3))
    np.testing.assert_array_equal(few.numpy(), same)


def test_integers_and_permutations():
    k = random.key(2)
    r = random.randint(k, (10_000,), -2, 3).numpy()
    assert set(np.unique(r)) == {-2, -1, 0, 1, 2}
    assert sorted(random.permutation(k, 1000).tolist()) == list(range(1000))
    first = [random.permutation(key, 3).tolist()[0] for key in random.split(k, 3000)]
    assert np.bincount(first).min() > 900


def test_split_keys_differ_and_streams_are_uncorrelated():
    keys = random.split(random.key(0), 100).numpy()
    assert len({tuple(k) for k in keys}) == 100
    a, b = (random.uniform(k, (10_000,)).numpy() for k in keys[:2])
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.04
    assert not np.array_equal(random.fold_in(random.key(0), 1).numpy(), random.key(0).numpy())


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0), (2, 3)])
def test_any_shape(shape):
    for draw in (random.uniform, random.normal, random.truncated_normal):
        assert draw(random.key(0), shape).shape == shape


def test_errors():
    with pytest.raises(ArgumentError, match="seed"):
        random.key(-1)
    with pytest.raises(DTypeError, match=r"random.key\(seed\)"):
        random.uniform(7, (2,))
    with pytest.raises(DTypeError, match="floating"):
        random.uniform(random.key(0), (2,), dtype="int32")
    with pytest.raises(ArgumentError, match="range"):
        random.randint(random.key(0), (2,), 3, 3)

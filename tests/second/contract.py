"""The numerics contract once more, from docs/numerics.md alone: nothing here is taken from the Rust code.

Arrays are numpy f32, one element after another in logical order. A fused multiply-add is made of f64: the product of two f32 is
exact there, the sum is rounded to odd, and a sum rounded to odd has enough digits for one more rounding to be the only one.
"""

import struct
from decimal import Decimal, getcontext
from fractions import Fraction

import numpy as np
from blake3 import blake3

F = np.float32
np.seterr(all="ignore")


def const(bits):
    """The f32 of these bits."""
    return np.frombuffer(struct.pack("<I", bits), F)[0]


def bits(x):
    return np.asarray(x, F).view(np.int32)


def of_bits(i):
    return np.asarray(i, np.int32).view(F)


# 1. Scalars


def fma(a, b, c):
    """a·b + c, rounded once."""
    a, b, c = (np.asarray(x, F).astype(np.float64) for x in (a, b, c))
    p = a * b
    s = p + c
    # TwoSum (Knuth): s + error is the exact sum.
    back = s - p
    error = (p - (s - back)) + (c - back)
    s, error = np.broadcast_arrays(s, error)
    raw = np.asarray(s).view(np.int64)
    inexact = (error != 0) & np.isfinite(error) & ((raw & 1) == 0)
    away = np.where((error > 0) == (s > 0), 1, -1)
    # Where s is even and not exact, the neighbour on the side of the error is odd.
    odd = np.where(inexact, raw + away, raw)
    return np.asarray(odd, np.int64).view(np.float64).astype(F)


def lower(a, b):
    """min of the contract."""
    return np.where(a < b, a, b).astype(F)


def higher(a, b):
    """max of the contract."""
    return np.where(a > b, a, b).astype(F)


def relu(x):
    return higher(F(0), x)


def f32(number):
    """A fraction (or f64) as f32, rounded to nearest even, once."""
    number = Fraction(number)
    if number == 0:
        return F(0)
    near = F(float(number))
    candidates = [np.nextafter(near, F(-np.inf)), near, np.nextafter(near, F(np.inf))]
    return min(candidates, key=lambda x: (abs(Fraction(float(x)) - number), int(bits(x)) & 1))


# 2. Contractions


def contract(a, b):
    """Over the first axis of a[k, m] and b[k, n]: [m, n]. Absent elements are zeros."""
    total = None
    for group in range(0, len(a), 65536):
        blocks = None
        for block in range(group, min(group + 65536, len(a)), 256):
            acc = np.zeros((a.shape[1], b.shape[1]), F)
            for k in range(block, min(block + 256, len(a))):
                acc = fma(a[k][:, None], b[k][None, :], acc)
            blocks = acc if blocks is None else blocks + acc
        total = blocks if total is None else total + blocks
    return total + F(0)


# 3. Reductions


def fold(x, op):
    """Over the first axis, in lanes and a tree."""
    if len(x) > 4096:
        blocks = [fold(x[at : at + 4096], op) for at in range(0, len(x), 4096)]
        return fold(np.stack(blocks), op)
    lanes = [x[i] for i in range(min(len(x), 64))]
    for i in range(64, len(x)):
        lanes[i % 64] = op(lanes[i % 64], x[i])
    half = 32
    while half:
        for i in range(min(half, len(lanes))):
            if i + half < len(lanes):
                lanes[i] = op(lanes[i], lanes[i + half])
        lanes = lanes[:half]
        half //= 2
    return lanes[0]


def sum_of(x):
    """The sum over the first axis, in the type of x."""
    return fold(x, lambda a, b: a + b)


def max_of(x):
    return fold(x, higher) + F(0)


def mean_of(x):
    return sum_of(x) / F(len(x))


# 4. Functions


def horner(x, *coefficients):
    first, *rest = (const(c) if isinstance(c, int) and c > 9 else F(c) for c in coefficients)
    v = np.broadcast_to(first, np.shape(x))
    for c in rest:
        v = fma(v, x, c)
    return v


def powers_of_two(t):
    j = bits(t)
    h = (j.view(np.uint32) >> 1).view(np.int32)
    g = j - h
    return of_bits(h << 23), of_bits(g << 23)


def raise_e(x, low=None):
    x = higher(F(-104), lower(F(89), x))
    t = fma(x, const(0x3FB8AA3B), F(12583166))
    n = t - F(12583166)
    r = fma(n, const(0xBF317200), x)
    r = fma(n, const(0xB5BFBE8E), r)
    if low is not None:
        r = r + low
    p = horner(r, 0x3AB520AA, 0x3C091CE3, 0x3D2AAC5E, 0x3E2AAA49, 0x3EFFFFFE, 1)
    a, b = powers_of_two(t)
    return fma(p, r * a, a) * b


exp = raise_e


def split(x):
    small = x < const(0x00800000)
    z = np.where(small, x * F(8388608), x).astype(F)
    k = (bits(z) - np.int32(0x3F2AAAAB)) >> 23
    m = of_bits(bits(z) - (k << 23))
    return k.astype(F) + np.where(small, F(-23), F(0)).astype(F), m - F(1)


def near_one(f):
    p = horner(
        f, 0xBE03D51C, 0x3E0F3950, 0xBDF99E39, 0x3E0F6A29, 0xBE2ACE17, 0x3E4CE82E, 0xBE7FFF7D, 0x3EAAAA83
    )
    v = fma(p, f, F(-0.5))
    return fma(v, f * f, f)


def log(x):
    e, f = split(x)
    v = fma(e, const(0x3F317218), near_one(f))
    edge = np.where(x == 0, F(-np.inf), np.where(x < 0, F(np.nan), x))
    return np.where((x > 0) & (x < np.inf), v, edge).astype(F)


def tanh(x):
    x = higher(const(0xC1107AE1), lower(const(0x41107AE1), x))
    s = x * x
    p = horner(s, 0x335C0D40, 0x3804CEED, 0x3B836967, 0x3E0D2C50, 1)
    q = horner(s, 0x304E029C, 0x35DA2877, 0x39DCD35E, 0x3CE34532, 0x3EF140D2, 1)
    return higher(F(-1), lower(F(1), (x * p) / q))


def scaled(a):
    w = F(1) / (a + F(3))
    q = fma(F(-6), w, F(1))
    h = horner(
        q, 0xB9A9AAF5, 0xB9FE71A5, 0x3B492AF8, 0xBAA17F54, 0xBCDBD60B,
        0x3DF4CD48, 0xBE9EF576, 0x3F17192D, 0xBF622624, 0x3F89790F,
    )  # fmt: skip
    return w * h


def exact_exp(a, b):
    p = a * b
    return raise_e(p, fma(a, b, -p))


def erfc(x):
    a = lower(const(0x4120F5C3), np.abs(x))
    v = scaled(a) * exact_exp(-a, a)
    return np.where(x < 0, F(2) - v, v).astype(F)


def gelu(x):
    a = lower(const(0x41680000), np.abs(x))
    h = scaled(a * const(0x3F3504F3))
    m = F(-0.5) * a
    return fma(m * h, exact_exp(m, a), relu(x))


def near_zero(r):
    s = r * r
    v = horner(s, 0xB94CA8FD, 0x3C0883BA, 0xBE2AAAA3)
    sin = fma(v, r * s, r)
    cos = fma(horner(s, 0x37CCF40B, 0xBAB60614, 0x3D2AAAA5), s, F(-0.5))
    return sin, fma(cos, s, F(1))


def turned(j, sin, cos):
    v = np.where((j & 1) == 0, sin, cos).astype(F)
    return of_bits(bits(v) ^ ((j & 2) << 30))


def sin_cos(x):
    t = fma(x, const(0x3F22F983), F(12582912))
    n = t - F(12582912)
    j = bits(t)
    r = fma(n, const(0xBFC90FDB), x)
    r = fma(n, const(0x333BBD2E), r)
    r = fma(n, const(0x26F72CED), r)
    r = np.where(np.abs(x) <= F(1048576), r, F(np.nan)).astype(F)
    parts = near_zero(r)
    return turned(j, *parts), turned(j + np.int32(1), *parts)


def sin_cos_turn(k):
    k = k.astype(np.int32)
    j = (k + np.int32(1 << 21)) >> 22
    r = (k - (j << 22)).astype(F) * const(0x34C90FDB)
    parts = near_zero(r)
    return turned(j, *parts), turned(j + np.int32(1), *parts)


def cos_f64(x):
    """The cosine of an f64, correctly rounded: forty digits of its series."""
    getcontext().prec = 60
    square = Decimal(x) * Decimal(x)
    term = total = Decimal(1)
    for n in range(1, 60):
        term *= -square / ((2 * n - 1) * (2 * n))
        total += term
    return float(total)


# 5. Random numbers


def seed_of(value):
    if isinstance(value, int):
        return value.to_bytes(32, "little")
    return blake3(value.encode(), derive_key_context="mmh seed 1").digest()


def key(seed, *path):
    """The eight words of the key of a draw."""
    hasher = blake3(derive_key_context="mmh rng 1")
    hasher.update(seed)
    for part in path:
        payload = b"s" + part.encode() if isinstance(part, str) else b"n" + part.to_bytes(8, "little")
        hasher.update(len(payload).to_bytes(8, "little") + payload)
    return np.frombuffer(hasher.digest(), "<u4")


def words(key, nonce, count):
    """The first words of a stream: ChaCha8, all blocks at once."""
    blocks = -(-count // 16)
    start = np.zeros((16, blocks), np.uint32)
    start[:4] = np.array([0x61707865, 0x3320646E, 0x79622D32, 0x6B206574], np.uint32)[:, None]
    start[4:12] = key[:, None]
    start[12] = np.arange(blocks)
    start[14], start[15] = nonce & 0xFFFFFFFF, nonce >> 32
    x = start.copy()

    def turn(value, by):
        return (value << np.uint32(by)) | (value >> np.uint32(32 - by))

    def quarter(a, b, c, d):
        for first, second, third, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[first] += x[second]
            x[third] = turn(x[third] ^ x[first], by)

    for _ in range(4):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return (x + start).T.reshape(-1)[:count]


def uniform(word):
    return (word >> np.uint32(8)).astype(F) * F(2.0**-24)


def within(word, a, b):
    """A number in [a, b)."""
    a, b = F(a), F(b)
    v = fma(uniform(word), b - a, a)
    return np.where(v < b, v, np.nextafter(b, F(-np.inf))).astype(F)


def normals(key, nonce, count):
    pairs = words(key, nonce, count + count % 2).reshape(-1, 2)
    u = ((pairs[:, 0] >> np.uint32(8)) + np.uint32(1)).astype(F) * F(2.0**-24)
    r = np.sqrt(F(-2) * log(u))
    sin, cos = sin_cos_turn(pairs[:, 1] >> np.uint32(8))
    return np.stack([r * cos, r * sin], 1).reshape(-1)[:count]


def shuffled(key, count):
    pairs = words(key, 0, 2 * count).astype(np.uint64).reshape(-1, 2)
    draws = pairs[:, 0] | pairs[:, 1] << np.uint64(32)
    return sorted(range(count), key=lambda row: (int(draws[row]), row))


# 10. Identity


def model_hash(tensors):
    """Of arrays by path."""
    hasher = blake3(derive_key_context="mmh model 1")

    def count(n):
        hasher.update(n.to_bytes(8, "little"))

    for path in sorted(tensors, key=lambda path: path.encode()):
        for text in (path.encode(), b"f32"):
            count(len(text))
            hasher.update(text)
        tensor = tensors[path]
        count(tensor.ndim)
        for size in tensor.shape:
            count(size)
        hasher.update(np.ascontiguousarray(tensor).astype("<f4").tobytes())
    return f"blake3:{hasher.hexdigest()}"

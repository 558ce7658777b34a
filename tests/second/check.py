"""Checks `contract.py` against exact arithmetic and against the golden vectors of the contract: python check.py GOLDEN.txt"""

import random
import sys
from fractions import Fraction

import numpy as np

import contract as c
from contract import F


def check_fma(count):
    """Against fractions: sums that cancel, results between two numbers and below the smallest normal one."""
    draw = random.Random(1)

    def number():
        exponent = draw.choice([draw.randrange(-140, 100), draw.randrange(-3, 3)])
        return F(np.ldexp(float(draw.randrange(-(1 << 24), 1 << 24)), exponent - 24))

    for _ in range(count):
        a, b = number(), number()
        near = c.f32(-Fraction(float(a)) * Fraction(float(b))) if abs(float(a) * float(b)) < 1e37 else F(1)
        x = draw.choice([number(), near, np.nextafter(near, F(9e9)), near * F(2.0**-26), near * F(3.0 * 2.0**22)])
        if not np.isfinite(x):
            continue
        exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(x))
        if abs(exact) < Fraction(2) ** 127:
            found, wanted = c.fma(a, b, x), c.f32(exact)
            assert found == wanted, (a, b, x, found, wanted)


def words_of(array):
    """Words as the golden file writes them."""
    values = np.atleast_1d(np.asarray(array))
    if values.dtype == F:
        values = np.where(np.isnan(values), np.uint32(0x7FC00000), c.bits(values).view(np.uint32))
    return [f"{int(word):08x}" for word in values]


def answers():
    """A function for each kind of line, of the words after its name."""
    key = c.key(c.seed_of(20260101), "net", "linear 1", "weight", 12)
    drawn = c.normals(c.key(c.seed_of(1)), 0, 200_000)

    def at(function):
        return lambda point: function(c.const(int(point, 16)))

    seeds = [c.seed_of(20260101), c.seed_of((1 << 128) - 1), c.seed_of("märchen"), b"\xa5" * 32]

    def column(values):
        return np.asarray(values, F)[:, None]

    return {
        "exp": at(c.exp),
        "log": at(c.log),
        "tanh": at(c.tanh),
        "erfc": at(c.erfc),
        "gelu": at(c.gelu),
        "sin": at(lambda x: c.sin_cos(x)[0]),
        "cos": at(lambda x: c.sin_cos(x)[1]),
        "rsqrt": at(lambda x: F(1) / np.sqrt(x)),
        "sin_cos_turn": lambda k: np.stack(c.sin_cos_turn(np.array(int(k, 16)))),
        "seed": lambda i: np.frombuffer(seeds[int(i)], "<u4"),
        "key": lambda i: c.key(seeds[int(i)], "net", "linear 1", "weight", 12),
        "uniforms": lambda: c.uniform(c.words(key, 42, 29)[5:]),
        "normals": lambda: c.normals(key, 42, 29)[5:],
        "ranges": lambda: c.within(c.words(key, 42, 1_000_027)[1_000_003:], -12, 12),
        "shuffle": lambda n: shuffled_with_nonce(key, 42, int(n)),
        "sum": lambda n: c.sum_of(drawn[: int(n)]),
        "chain": lambda n: None
        if int(n) > 5000
        else c.contract(column(drawn[: int(n)]), column(drawn[int(n) : 2 * int(n)])),
    }


def shuffled_with_nonce(key, nonce, n):
    pairs = c.words(key, nonce, 2 * n).astype(np.uint64).reshape(-1, 2)
    return sorted(range(n), key=lambda row: (int(pairs[row, 0] | pairs[row, 1] << np.uint64(32)), row))


def main():
    check_fma(20_000)
    known, seen = answers(), set()
    for line in open(sys.argv[1], encoding="utf-8"):
        question, _, wanted = line.strip().partition(" = ")
        name, *arguments = question.split(" ")
        if name in known and (found := known[name](*arguments)) is not None:
            seen.add(name)
            found = words_of(np.asarray(found).reshape(-1))
            assert found == wanted.split(" "), (question, found, wanted)
    assert seen == set(known), set(known) - seen
    print(f"fma and {len(seen)} kinds of golden vectors agree")


main()

"""Checks a file of vectors that `mmhc conform --write` made, with the second implementation: python vectors.py FILE

A graph is carried out node by node; a vector that uses an operation that is not here is left out, and counted.
"""

import json
import re
import sys

import numpy as np

import contract as c
from contract import F

NODE = re.compile(r"%(\d+): (\w+)(?:\[(.*?)\])? = ([a-z0-9-]+)(?:\((.*)\))?((?:[ ,]*%\d+)*)$")
TYPES = {"f32": F, "i32": np.int32, "u8": np.uint8, "bool": np.bool_}


class Missing(Exception):
    """An operation that is not here."""


def sigmoid(x):
    e = c.exp(-np.abs(x))
    return np.where(x < 0, e, F(1)).astype(F) / (F(1) + e)


def to_int(x):
    if x.dtype != F:
        return x.astype(np.int32)
    inside = np.clip(np.nan_to_num(np.trunc(x.astype(np.float64))), -(2.0**31), 2.0**31 - 1)
    return inside.astype(np.int64).astype(np.int32)


def bf16(x):
    b = np.ascontiguousarray(x).view(np.uint32)
    rounded = (b + np.uint32(0x7FFF) + (b >> np.uint32(16) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), F(np.nan), rounded.view(F)).astype(F)


def each(float_one, other):
    """By the type of the first operand."""
    return lambda *x: (float_one if x[0].dtype == F else other)(*x)


MAPS = {
    "neg": lambda x: -x,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: F(1) / np.sqrt(x),
    "exp": c.exp,
    "log": c.log,
    "tanh": c.tanh,
    "sigmoid": sigmoid,
    "erfc": c.erfc,
    "gelu": c.gelu,
    "relu": c.relu,
    "sin": lambda x: c.sin_cos(x)[0],
    "cos": lambda x: c.sin_cos(x)[1],
    "floor": np.floor,
    "bf16": bf16,
    "not": np.logical_not,
    "to-f32": lambda x: x.astype(F),
    "to-i32": to_int,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "min": each(c.lower, np.minimum),
    "max": each(c.higher, np.maximum),
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "and": np.logical_and,
    "or": np.logical_or,
    "select": lambda p, a, b: np.where(p, a, b),
    "fma": c.fma,
}


def spread(value, axes, sizes):
    """With these axes, in their order."""
    array, own = value
    kept = [axis for axis in axes if axis in own]
    array = np.transpose(array, [own.index(axis) for axis in kept])
    shape = [array.shape[kept.index(axis)] if axis in kept else 1 for axis in axes]
    return np.broadcast_to(array.reshape(shape), sizes)


def names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def reduced(kind, over, value):
    array, own = value
    kept = [axis for axis in own if axis not in over]
    array = np.transpose(array, [own.index(axis) for axis in over + kept])
    array = array.reshape((-1,) + array.shape[len(over) :])
    if kind == "sum":
        return c.sum_of(array)
    if kind == "max":
        return c.max_of(array)
    if kind == "min":
        return c.fold(array, c.lower) + F(0)
    chosen = np.zeros(array.shape[1:], np.int32)
    best = array[0].copy()
    for i in range(1, len(array)):
        better = array[i] > best
        chosen, best = np.where(better, np.int32(i), chosen), np.where(better, array[i], best)
    return chosen


def contracted(over, a, b, axes, sizes):
    """One chain for each element, over all results at once."""
    whole = dict(zip(a[1], a[0].shape)) | dict(zip(b[1], b[0].shape))
    depth = [whole[axis] for axis in over]
    left, right = (spread(v, over + axes, depth + sizes) for v in (a, b))
    left, right = (v.reshape(-1, 1, int(np.prod(sizes))) for v in (left, right))
    total = None
    for group in range(0, len(left), 65536):
        blocks = None
        for block in range(group, min(group + 65536, len(left)), 256):
            acc = np.zeros(left.shape[1:], F)
            for k in range(block, min(block + 256, len(left))):
                acc = c.fma(left[k], right[k], acc)
            blocks = acc if blocks is None else blocks + acc
        total = blocks if total is None else total + blocks
    return (total + F(0)).reshape(sizes)


def fields(text):
    """`kind = sum, over = [a, b]` as a dictionary."""
    found = re.findall(r"([a-z]+) = (\[[^\]]*\]|[^,\[]+)", text or "")
    return {name: names(value[1:-1]) if value.startswith("[") else value.strip() for name, value in found}


def operation(op, text, inputs, axes, sizes, dtype, feed):
    arguments = fields(text)
    if op == "input":
        kind, number = next(iter(arguments.items())) if arguments else (text, "0")
        if kind != "column":
            raise Missing(f"input {kind}")
        return feed(int(number)).view(np.uint32)
    if op == "constant":
        return np.full((), F(float(text.strip('"'))))
    if op == "integer":
        return np.full((), np.int32(int(text)))
    if op == "position":
        return np.arange(sizes[0], dtype=np.int32)
    if op == "map":
        if text not in MAPS:
            raise Missing(text)
        return MAPS[text](*(spread(value, axes, sizes) for value in inputs))
    if op == "broadcast":
        return spread(inputs[0], axes, sizes)
    if op in ("rename", "merge", "split"):
        return inputs[0][0].reshape(sizes)
    if op == "reduce":
        if inputs[0][0].dtype != F:
            return inputs[0][0].sum(dtype=np.int32)
        return reduced(arguments["kind"], arguments["over"], inputs[0])
    if op == "contract":
        return contracted(arguments["over"], inputs[0], inputs[1], axes, sizes)
    if op == "one-hot":
        return (inputs[0][0][..., None] == np.arange(sizes[-1])).astype(F)
    if op == "slice":
        at = inputs[0][1].index(arguments["axis"])
        start, step = int(arguments["start"]), int(arguments["step"])
        picked = start + step * np.arange(sizes[at])
        return np.take(inputs[0][0], picked, axis=at)
    if op == "concat":
        return np.concatenate([value[0] for value in inputs], axis=axes.index(arguments["axis"]))
    raise Missing(op)


def words_of(array):
    array = np.ascontiguousarray(array)
    if array.dtype == F:
        return np.where(np.isnan(array), np.uint32(0x7FC00000), array.view(np.uint32))
    return array.astype(np.int64).astype(np.uint32)


def check(vector):
    def feed(number):
        return np.array([int(word, 16) for word in vector["operands"][number].split()], np.uint32)

    values = []
    for line in vector["graph"]:
        number, dtype, dims, op, text, operands = NODE.match(line).groups()
        assert int(number) == len(values), line
        dims = [dim.split(" = ") for dim in names(dims or "")]
        axes, sizes = [axis for axis, _ in dims], [int(size) for _, size in dims]
        inputs = [values[int(n)] for n in re.findall(r"%(\d+)", operands)]
        array = np.asarray(operation(op, text, inputs, axes, sizes, dtype, feed))
        if op == "input":
            array = array.view(TYPES[dtype]) if dtype in ("f32", "i32") else array.astype(TYPES[dtype])
        values.append((array.astype(TYPES[dtype], copy=False).reshape(sizes), axes))
    for answer in vector["results"]:
        found = words_of(values[answer["value"]][0]).reshape(-1)
        wanted = np.array([int(word, 16) for word in answer["words"].split()], np.uint32)
        if not np.array_equal(found, wanted):
            at = int(np.argmax(found != wanted))
            raise SystemExit(f"{vector['case']}: element {at} is {found[at]:08x}, not {wanted[at]:08x}")


def main():
    lines = open(sys.argv[1], encoding="utf-8")
    header = json.loads(next(lines))
    assert header == {"format": "mmh vectors 1", "edition": 1}, header
    checked, missing = 0, {}
    for line in lines:
        vector = json.loads(line)
        try:
            check(vector)
            checked += 1
        except Missing as what:
            missing.setdefault(str(what), []).append(vector["case"])
    left = ", ".join(f"{what} ({len(cases)})" for what, cases in sorted(missing.items()))
    print(f"{checked} vectors agree; left out, for an operation that is not here: {left}")


main()

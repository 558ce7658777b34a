"""Two small trainings, written a second time from docs/numerics.md and docs/language.md: `mlp.mmh` and `conv.mmh` beside this file.

    python train.py mlp | conv

prints the hash of the model, which `mmhc run mlp.mmh` prints as well.
"""

import csv
import math
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from contract import (
    F, const, contract, cos_f64, erfc, exp, f32, fma, gelu, key, log, max_of, mean_of, model_hash, normals, relu,
    seed_of, shuffled, sin_cos, sum_of, tanh, uniform, within, words,
)  # fmt: skip

HERE = Path(__file__).parent


def table(name):
    with open(HERE / name, newline="") as file:
        header, *rows = csv.reader(file)
    return {column: [row[i] for row in rows] for i, column in enumerate(header)}


def numbers(texts):
    """Numbers rounded from their digits; nothing where one is missing."""
    return [None if text == "" else f32(Fraction(text)) for text in texts]


# Splits


def sizes(rows, shares):
    """Whole rows of every share, in millionths, by largest remainder; what the shares leave over is a share of its own."""
    shares = [*shares, 1_000_000 - sum(shares)]
    whole = [rows * share // 1_000_000 for share in shares]
    rest = [rows * share % 1_000_000 for share in shares]
    order = sorted(range(len(shares)), key=lambda part: (-rest[part], part))
    for part in order[: rows - sum(whole)]:
        whole[part] += 1
    return whole[:-1]


def deal(order, shares, parts):
    at = 0
    for part, size in zip(parts, sizes(len(order), shares)):
        part.extend(order[at : at + size])
        at += size


# First values


def uniform_init(seed, path, shape, gain):
    """Uniform of the variance gain / fan in, where the last axis is the only one that leaves."""
    fan = math.prod(shape[:-1])
    bound = f32(math.sqrt(3.0 * (gain / fan)))
    count = math.prod(shape)
    return within(words(key(seed, path), 0, count), -bound, bound).reshape(shape)


# Pieces of a model; each gives its result and what its gradient needs.


def linear(x, weight, bias):
    return contract(x.T, weight) + bias


def linear_back(g, x, weight):
    """Of x, weight and bias."""
    return contract(g.T, weight.T), contract(x, g), sum_of(g)


def cross_entropy(scores, labels):
    """That of each row, and the gradient of the scores under the mean of them."""
    high = max_of(scores.T)
    e = exp(scores - high[:, None])
    total = sum_of(e.T)
    one = np.eye(scores.shape[1], dtype=F)[labels]
    each = (high + log(total)) - scores[np.arange(len(labels)), labels]
    share = F(1) / F(len(labels))
    return each, share * (e / total[:, None] - one)


def mlp():
    seed = seed_of("second")
    data = table("points.csv")
    columns = [numbers(data[name]) for name in ("x", "y", "z")]
    levels = sorted(set(data["kind"]), key=str.encode)
    kinds = np.array([levels.index(word) for word in data["kind"]])

    train, valid, test = parts = [], [], []
    order = shuffled(key(seed, "points.split"), len(kinds))
    for kind in range(len(levels)):
        deal([row for row in order if kinds[row] == kind], (600_000, 250_000, 150_000), parts)
    for part in parts:
        part.sort()

    def ready(column):
        there = [float(column[row]) for row in train if column[row] is not None]
        median = sorted(there)[(len(there) - 1) // 2]
        there = np.array(there)
        mean = sum_of(there) / len(there)
        spread = math.sqrt(sum_of((there - mean) * (there - mean)) / len(there)) or 1.0
        filled = np.array([f32(median) if x is None else x for x in column], F)
        return (filled - f32(mean)) / f32(spread)

    inputs = np.stack([ready(column) for column in columns], 1)
    wide = [(3, 11), (11, 9), (9, 3)]
    model = {}
    for number, shape in enumerate(wide, 1):
        model[f"net.linear{number}.weight"] = uniform_init(seed, f"net.linear{number}.weight", shape, 1.0)
        model[f"net.linear{number}.bias"] = np.zeros(shape[1], F)
    names = list(model)
    first = {name: np.zeros_like(model[name]) for name in names}
    second = {name: np.zeros_like(model[name]) for name in names}

    def layers(x, keep):
        w = [model[name] for name in names]
        a = linear(x, w[0], w[1])
        b = tanh(a)
        c = linear(b, w[2], w[3])
        d = gelu(c)
        if keep is not None:
            d = np.where(keep, d * f32(1.0 / (1.0 - 0.2)), F(0)).astype(F)
        return b, c, d, linear(d, w[4], w[5])

    def gradients(rows, step, epoch):
        x = inputs[rows]
        draws = uniform(words(key(seed, "net.dropout1", epoch), step, len(rows) * 9)).reshape(-1, 9)
        keep = draws >= f32(0.2)
        b, c, d, scores = layers(x, keep)
        _, g = cross_entropy(scores, kinds[rows])
        found = {}
        g, found[names[4]], found[names[5]] = linear_back(g, d, model[names[4]])
        g = np.where(keep, g, F(0)).astype(F) * f32(1.0 / (1.0 - 0.2))
        half = F(0.5) * erfc(c * -const(0x3F3504F3))
        g = g * fma(c, const(0x3ECC422A) * exp((F(-0.5) * c) * c), half)
        g, found[names[2]], found[names[3]] = linear_back(g, b, model[names[2]])
        g = g * (F(1) - b * b)
        _, found[names[0]], found[names[1]] = linear_back(g, x, model[names[0]])
        return found

    batch, epochs, lr, decay, clip = 16, 5, 5e-2, 1e-2, F(0.5)
    steps = -(-len(train) // batch)
    beta1, beta2 = 0.9, 0.999
    power1 = power2 = 1.0
    best, kept = math.inf, None
    for step in range(epochs * steps):
        epoch, inside = divmod(step, steps)
        order = [train[place] for place in shuffled(key(seed, "fit.rows.shuffle", epoch), len(train))]
        found = gradients(order[inside * batch : (inside + 1) * batch], step, epoch)
        norm = np.sqrt(sum_of(np.array([sum_of((found[n] * found[n]).reshape(-1)) for n in sorted(names)], F)))
        if norm > clip:
            found = {name: g * (clip / norm) for name, g in found.items()}
        if step < steps:
            factor = (step + 1) / steps
        else:
            factor = 0.5 * (1.0 + cos_f64(math.pi * (step - steps) / ((epochs - 1) * steps)))
        power1, power2 = power1 * beta1, power2 * beta2
        c1, c2 = 1.0 - power1, 1.0 - power2
        rate = f32(lr * factor * math.sqrt(c2) / c1)
        epsilon = f32(1e-8 * math.sqrt(c2))
        shrink = f32(1.0 - lr * factor * decay)
        for name, g in found.items():
            m = first[name] = fma(f32(beta1), first[name], f32(1.0 - beta1) * g)
            v = second[name] = fma(f32(beta2), second[name], f32(1.0 - beta2) * (g * g))
            model[name] = fma(-rate, m / (np.sqrt(v) + epsilon), model[name] * shrink)
        if (step + 1) % steps == 0:
            each, _ = cross_entropy(layers(inputs[valid], None)[3], kinds[valid])
            watched = sum_of(each.astype(np.float64)) / len(valid)
            if watched < best:
                best, kept = watched, dict(model)
    return kept


# Pictures: [row, channel, height, width]


def windows(x, size, stride, offset, divide=1, reverse=False, out=None):
    """Elements [row, channel, y, x, tap y, tap x] at (place·stride + tap + offset) / divide; zero where there is none."""
    height, width = x.shape[2:]
    rows = out or (-(-height // stride), -(-width // stride))
    found = np.zeros((*x.shape[:2], *rows, size, size), F)

    def place(o, tap, edge):
        at, rest = divmod(o * stride + (-tap if reverse else tap) + offset, divide)
        return at if rest == 0 and 0 <= at < edge else None

    for r in range(rows[0]):
        for c in range(rows[1]):
            for i in range(size):
                for j in range(size):
                    y, z = place(r, i, height), place(c, j, width)
                    if y is not None and z is not None:
                        found[:, :, r, c, i, j] = x[:, :, y, z]
    return found


def conv(x, weight, bias, stride):
    """Same padding; also the windows, [kernel row, kernel column, channel] by [row, y, x]."""
    size = weight.shape[0]
    taps = windows(x, size, stride, -((size - 1) // 2))
    rows, _, height, width = taps.shape[:4]
    flat = taps.transpose(4, 5, 1, 0, 2, 3).reshape(-1, rows * height * width)
    y = contract(flat, weight.reshape(-1, weight.shape[3]))
    y = y.reshape(rows, height, width, -1).transpose(0, 3, 1, 2)
    return y + bias[:, None, None], flat


def by_channel(x):
    """[row, y, x] flattened, by channel."""
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])


def conv_back(g, flat, shape):
    """Of weight and bias."""
    return contract(flat.T, by_channel(g)).reshape(shape), sum_of(by_channel(g))


def conv_input_back(g, weight, stride, edge):
    size = weight.shape[0]
    taps = windows(g, size, 1, (size - 1) // 2, divide=stride, reverse=True, out=(edge, edge))
    rows = len(g)
    flat = taps.transpose(4, 5, 1, 0, 2, 3).reshape(-1, rows * edge * edge)
    turned = weight.transpose(0, 1, 3, 2).reshape(-1, weight.shape[2])
    return contract(flat, turned).reshape(rows, edge, edge, -1).transpose(0, 3, 1, 2)


def norm(x, scale, shift):
    """Batch norm; also what its gradient and the running statistics need."""
    mean = mean_of(by_channel(x))
    centred = x - mean[:, None, None]
    variance = mean_of(by_channel(centred * centred))
    r = F(1) / np.sqrt(variance + f32(1e-5))
    y = centred * r[:, None, None]
    return fma(y, scale[:, None, None], shift[:, None, None]), y, r, mean, variance


def norm_back(g, y, r, scale):
    """Of x, scale and shift."""
    found = sum_of(by_channel(g * y)), sum_of(by_channel(g))
    g = g * scale[:, None, None]
    mean, along = mean_of(by_channel(g)), mean_of(by_channel(g * y))
    return (r[:, None, None] * ((g - mean[:, None, None]) - y * along[:, None, None]), *found)


def sample(image, row, column):
    """Bilinear, at [row, y, x]; outside is 0."""
    rows, channels, height, width = image.shape
    i, j = np.floor(row), np.floor(column)
    ty, tx = (row - i)[:, None], (column - j)[:, None]

    def at(di, dj):
        y, x = (i + F(di)).astype(int), (j + F(dj)).astype(int)
        inside = (0 <= y) & (y < height) & (0 <= x) & (x < width)
        found = image[np.arange(rows)[:, None, None], :, np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
        return np.where(inside[:, None], found.transpose(0, 3, 1, 2), F(0)).astype(F)

    top = fma(tx, at(0, 1) - at(0, 0), at(0, 0))
    bottom = fma(tx, at(1, 1) - at(1, 0), at(1, 0))
    return fma(ty, bottom - top, top)


def augment(seed, epoch, rows, image):
    """A turn, a shift and noise, drawn anew for every row of the data set in every epoch."""

    def draw(path, a, b):
        site = key(seed, path, epoch)
        return np.array([within(words(site, row, 1), a, b)[0] for row in rows], F)

    edge = image.shape[2]
    place = np.arange(edge).astype(F)
    middle = f32((edge - 1) * 0.5)
    ten = f32(10 * math.pi / 180)
    angle = draw("gentle.rotate1.angle", -ten, ten)[:, None, None]
    sin, cos = sin_cos(angle)
    dy, dx = (place - middle)[None, :, None], (place - middle)[None, None, :]
    row = fma(cos, dy, -(sin * dx)) + middle
    column = fma(cos, dx, sin * dy) + middle
    image = sample(image, row, column)
    down = draw("gentle.shift1.down", -1, 1)[:, None, None]
    across = draw("gentle.shift1.across", -1, 1)[:, None, None]
    whole = np.zeros((len(rows), edge, edge), F)
    image = sample(image, whole + (place[None, :, None] - down), whole + (place[None, None, :] - across))
    site = key(seed, "gentle.jitter1.noise", epoch)
    noise = np.stack([normals(site, row, image[0].size).reshape(image[0].shape) for row in rows])
    return image + noise * f32(0.05)


def conv_net():
    seed = seed_of(20260101)
    data = table("strokes.csv")
    kinds = np.array([int(kind) for kind in data["kind"]])
    pixels = [numbers(data[f"pixel_{y}_{x}"]) for y in range(6) for x in range(6)]
    images = np.array(pixels, F).T.reshape(-1, 1, 6, 6) / F(9)

    train, _, _ = parts = [], [], []
    deal(shuffled(key(seed, "strokes.split"), len(kinds)), (700_000, 0, 300_000), parts)
    train.sort()

    model = {}
    for number, shape in enumerate([(3, 3, 1, 4), (3, 3, 4, 6)], 1):
        model[f"net.conv{number}.weight"] = uniform_init(seed, f"net.conv{number}.weight", shape, 2.0)
        model[f"net.conv{number}.bias"] = np.zeros(shape[3], F)
        model[f"net.norm{number}.scale"] = np.ones(shape[3], F)
        model[f"net.norm{number}.shift"] = np.zeros(shape[3], F)
    model["net.linear1.weight"] = uniform_init(seed, "net.linear1.weight", (6, 2), 1.0)
    model["net.linear1.bias"] = np.zeros(2, F)
    speed = {name: np.zeros_like(value) for name, value in model.items()}
    running = {}
    for number, width in ((1, 4), (2, 6)):
        running[f"net.norm{number}.mean"] = np.zeros(width, F)
        running[f"net.norm{number}.variance"] = np.ones(width, F)

    def gradients(rows, epoch):
        p = model
        x = augment(seed, epoch, rows, images[rows])
        a, a_taps = conv(x, p["net.conv1.weight"], p["net.conv1.bias"], 1)
        b, b_y, b_r, *b_seen = norm(a, p["net.norm1.scale"], p["net.norm1.shift"])
        c, c_taps = conv(relu(b), p["net.conv2.weight"], p["net.conv2.bias"], 2)
        d, d_y, d_r, *d_seen = norm(c, p["net.norm2.scale"], p["net.norm2.shift"])
        e = mean_of(relu(d).transpose(2, 3, 0, 1).reshape(9, len(rows), 6))
        scores = linear(e, p["net.linear1.weight"], p["net.linear1.bias"])
        _, g = cross_entropy(scores, kinds[rows])
        found = {}
        g, found["net.linear1.weight"], found["net.linear1.bias"] = linear_back(g, e, p["net.linear1.weight"])
        g = np.where(d > 0, (g / F(9))[:, :, None, None], F(0)).astype(F)
        g, found["net.norm2.scale"], found["net.norm2.shift"] = norm_back(g, d_y, d_r, p["net.norm2.scale"])
        found["net.conv2.weight"], found["net.conv2.bias"] = conv_back(g, c_taps, (3, 3, 4, 6))
        g = conv_input_back(g, p["net.conv2.weight"], 2, 6)
        g = np.where(b > 0, g, F(0)).astype(F)
        g, found["net.norm1.scale"], found["net.norm1.shift"] = norm_back(g, b_y, b_r, p["net.norm1.scale"])
        found["net.conv1.weight"], found["net.conv1.bias"] = conv_back(g, a_taps, (3, 3, 1, 4))
        for number, seen in ((1, b_seen), (2, d_seen)):
            for name, value in zip(("mean", "variance"), seen):
                path = f"net.norm{number}.{name}"
                running[path] = fma(f32(0.1), value - running[path], running[path])
        return found

    batch, rate, momentum = 12, f32(0.1), f32(0.9)
    for epoch in range(3):
        order = [train[place] for place in shuffled(key(seed, "fit.rows.shuffle", epoch), len(train))]
        for at in range(0, len(order), batch):
            for name, g in gradients(order[at : at + batch], epoch).items():
                v = speed[name] = fma(momentum, speed[name], g)
                model[name] = fma(-rate, fma(momentum, v, g), model[name])
    return {**model, **running}


if __name__ == "__main__":
    print(model_hash({"mlp": mlp, "conv": conv_net}[sys.argv[1]]()))

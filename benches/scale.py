"""Cost as the work grows: batch, layers, parameters, and rows streamed from the disk. Measured and drawn.

    cargo build --release -p mmhc -p mmh-bench
    python benches/scale.py measure batch layers parameters rows --out scale.json
    python benches/scale.py measure batch layers parameters --torch --out scale.json      # PyTorch beside it, where it is there
    python benches/scale.py draw --out scale.json --into docs/scaling                      # SVG and the tables of docs/performance.md

Data and recipes are made in --work (a temporary folder unless it is given; rows take 8 GB for 10 million). A second call
adds to the file of results, so that the machine can be kept quiet in slices: `--points` and `--threads` choose some. What
is measured twice counts as it was faster.
"""
import argparse
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BIN = HERE.parent / "target" / "release"
PEAK = 117.8e9  # multiplications and additions a second of one core, measured in registers
POINTS = {
    "batch": [1, 4, 16, 64, 256, 1024, 4096],
    "layers": [1, 2, 4, 8, 16, 32, 64],
    "parameters": [10_000, 100_000, 1_000_000, 10_000_000],
    "rows": [1_000, 10_000, 100_000, 1_000_000, 10_000_000],
}
PICTURES, INPUTS, CLASSES = 8192, 784, 10
FIELDS = 64


class Shape:
    """A perceptron: batch, hidden layers, their width, inputs."""

    def __init__(self, axis, point):
        self.batch, self.hidden, self.width, self.inputs = 128, 2, 512, INPUTS
        if axis == "batch":
            self.batch = point
        elif axis == "layers":
            self.hidden, self.width = point, 256
        elif axis == "parameters":
            # inputs · w + w² + w · classes = point
            ahead = INPUTS + CLASSES
            self.width = max(8, round((math.sqrt(ahead * ahead + 4 * point) - ahead) / 2))
        elif axis == "rows":
            self.batch, self.hidden, self.width, self.inputs = 256, 1, 64, FIELDS

    def widths(self):
        return [self.inputs] + [self.width] * self.hidden + [CLASSES if self.inputs != FIELDS else 3]

    def parameters(self):
        return sum(a * b + b for a, b in zip(self.widths(), self.widths()[1:]))

    def flops(self):
        """Of a step: forward, gradient of weights, gradient of inputs but for the first layer."""
        pairs = list(zip(self.widths(), self.widths()[1:]))
        return 2 * self.batch * sum(a * b * (2 if place == 0 else 3) for place, (a, b) in enumerate(pairs))


def recipe(shape, source, train, shuffle=True):
    layers = "\n".join(f"    |> linear(h{place} = {width}) |> relu" for place, width in enumerate(shape.widths()[1:-1]))
    classes = shape.widths()[-1]
    if source == "pictures":
        data = f"""  source = idx(images = "images.idx", labels = "labels.idx")
  x: f32[height = 28, width = 28] = source.images / 255
  label: class[{classes}] = source.labels"""
        kind, start = "f32[batch, height = 28, width = 28]", "x |> flatten(into = pixel)"
    else:
        data = f"""  source = csv("{source}")
  x: f32[feature = {FIELDS}] = source.x |> standardise
  label: class[{classes}] = source.label"""
        kind, start = f"f32[batch, feature = {FIELDS}]", "x"
    shuffled = "|> shuffle " if shuffle else ""
    return f"""mmh 1

seed 1

data rows {{
{data}
  split  = sequential(train = {train}%)
}}

model net(x: {kind}) -> f32[batch, class = {classes}] {{
  {start}
{layers}
    |> linear(class = {classes})
}}

train fit {{
  rows       = rows.train {shuffled}|> batch({shape.batch})
  predict    = net(rows.x)
  loss       = cross_entropy(predict, rows.label)
  optimize   = adam(lr = 1e-4)
  length     = 100000000 steps
  checkpoint = 100000000 steps
}}
"""


def pictures(folder):
    if (folder / "images.idx").exists():
        return
    draw = random.Random(1)
    word = lambda n: n.to_bytes(4, "big")
    labels = bytes(draw.randrange(CLASSES) for _ in range(PICTURES))
    (folder / "labels.idx").write_bytes(word(0x801) + word(PICTURES) + labels)
    header = word(0x803) + word(PICTURES) + word(28) + word(28)
    (folder / "images.idx").write_bytes(header + draw.randbytes(PICTURES * INPUTS))


def table(folder, rows):
    """A table of 64 numbers and a label. Beyond 100,000 rows the same ones come again: what is timed is not what they say."""
    path = folder / f"rows-{rows}.csv"
    if path.exists():
        return path.name
    draw = random.Random(2)
    distinct = min(rows, 100_000)
    lines = []
    for _ in range(distinct):
        values = [draw.gauss(0, 1) for _ in range(FIELDS)]
        label = int(values[0] + values[1] > 0) + int(values[2] > 0.5)
        lines.append(",".join(f"{value:.4f}" for value in values) + f",{label}\n")
    block = "".join(lines).encode()
    with open(path, "wb") as file:
        file.write((",".join(f"x_{n}" for n in range(FIELDS)) + ",label\n").encode())
        for _ in range(rows // distinct):
            file.write(block)
    return path.name


def run(command, environment=None):
    """Output, seconds, and the most memory held, in MiB."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as told:
        child = subprocess.Popen(command, stdout=out, stderr=told, env={**os.environ, **(environment or {})})
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - began
        out.seek(0), told.seek(0)
        if status != 0:
            sys.exit(f"{' '.join(map(str, command))}\n{told.read()}")
        return out.read(), seconds, usage.ru_maxrss / 1024


def blocks_of(flops):
    """Steps of a block, so that seven of them take a second or two."""
    expected = flops / PEAK * 1.5 + 15e-6
    return max(1, min(4000, round(0.2 / expected)))


def faster(found, old):
    """What else ran on the machine only adds: of two measurements the faster counts, of each program."""
    kept = {**old, **found}
    if "ms" in old and old["ms"] < kept["ms"]:
        kept |= {key: old[key] for key in found if key in old}
    if "torch_ms" in old:
        kept["torch_ms"] = min(old["torch_ms"], kept["torch_ms"])
    return kept


def facts(axis, point, threads):
    shape = Shape(axis, point)
    return {"axis": axis, "point": point, "threads": threads, "parameters": shape.parameters(), "flops": shape.flops()}


def measure(axis, point, threads, folder):
    shape = Shape(axis, point)
    found = facts(axis, point, threads)
    path = folder / f"{axis}-{point}.mmh"
    bench = [BIN / "mmh-bench", "--recipe", path, "--threads", str(threads), "--block"]
    if axis != "rows":
        pictures(folder)
        path.write_text(recipe(shape, "pictures", 100))
        out, _, _ = run(bench + [str(blocks_of(shape.flops())), "--blocks", "5"])
    else:
        name = table(folder, point)
        path.write_text(recipe(shape, name, 100))
        cache = folder / "cache"
        packed = {"MMH_DATA_CACHE": str(cache)}
        for file in cache.glob("*"):
            file.unlink()
        _, check, check_peak = run([BIN / "mmhc", "check", path, "--data-memory", "0"], packed)
        _, again, _ = run([BIN / "mmhc", "check", path, "--data-memory", "0"], packed)
        size = (folder / name).stat().st_size
        found |= {"bytes": size, "pack_seconds": check, "open_seconds": again, "pack_mib": check_peak}
        out, _, _ = run(bench + [str(max(1, min(400, point // shape.batch))), "--blocks", "5", "--streamed", str(cache)])
    line = json.loads(out.strip().splitlines()[-1])
    ms = line["ms_per_step"]
    rows = min(shape.batch, point) if axis == "rows" else shape.batch
    return found | {"ms": ms, "rows_per_second": rows / ms * 1e3, "mib": line["peak_rss_mib"], "start_seconds": line["import_s"]}


def measure_torch(axis, point, threads):
    import torch

    torch.set_num_threads(threads)
    shape = Shape(axis, point)
    widths = shape.widths()
    layers = []
    for place, (a, b) in enumerate(zip(widths, widths[1:])):
        layers += [torch.nn.Linear(a, b)] + ([torch.nn.ReLU()] if place < len(widths) - 2 else [])
    net = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)
    images = torch.randint(0, 256, (PICTURES, INPUTS), dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (PICTURES,))
    order, at = torch.randperm(PICTURES), 0

    def step():
        nonlocal at
        if at + shape.batch > PICTURES:
            at = 0
        rows = order[at:at + shape.batch]
        at += shape.batch
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(net(images[rows].float() / 255), labels[rows])
        loss.backward()
        optimizer.step()

    count = max(1, blocks_of(shape.flops()) // 4)
    for _ in range(3):
        step()
    times = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(count):
            step()
        times.append((time.perf_counter() - began) / count * 1e3)
    return sorted(times)[2]


# ---------------------------------------------------------------- drawing

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 680, 380, 64, 150, 34, 48
STYLE = """<style>
text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-size:14px;font-weight:600}.grid{stroke:#d0d7de;stroke-width:1}
.frame{stroke:#57606a;stroke-width:1}.s0{stroke:#0969da;fill:#0969da}.s1{stroke:#1a7f37;fill:#1a7f37}.s2{stroke:#bc4c00;fill:#bc4c00}
.s3{stroke:#8250df;fill:#8250df}.s4{stroke:#57606a;fill:#57606a}polyline{fill:none!important;stroke-width:2}.dash{stroke-dasharray:5 4}
text.s0,text.s1,text.s2,text.s3,text.s4{stroke:none}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.grid{stroke:#30363d}.frame{stroke:#8b949e}.s0{stroke:#58a6ff;fill:#58a6ff}
.s1{stroke:#3fb950;fill:#3fb950}.s2{stroke:#f0883e;fill:#f0883e}.s3{stroke:#bc8cff;fill:#bc8cff}.s4{stroke:#8b949e;fill:#8b949e}}
</style>"""


def power(exponent):
    return str(10 ** exponent) if 0 <= exponent <= 3 else f"{10.0 ** exponent:g}" if -3 <= exponent < 0 else f"1e{exponent}"


def figure(path, title, across, up, series):
    """A picture of lines, both axes logarithmic. `series` are (name, points, dashed)."""
    xs = [x for _, points, _ in series for x, _ in points]
    ys = [y for _, points, _ in series for _, y in points]
    low_x, high_x = math.log10(min(xs)), math.log10(max(xs))
    low_y, high_y = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    x_of = lambda x: LEFT + (math.log10(x) - low_x) / max(high_x - low_x, 1e-9) * (WIDTH - LEFT - RIGHT)
    y_of = lambda y: HEIGHT - BOTTOM - (math.log10(y) - low_y) / max(high_y - low_y, 1) * (HEIGHT - TOP - BOTTOM)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">', STYLE,
           f'<text class="title" x="{LEFT}" y="20">{title}</text>']
    for exponent in range(low_y, high_y + 1):
        y = y_of(10.0 ** exponent)
        out.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{power(exponent)}</text>')
    for exponent in range(math.ceil(low_x - 1e-9), math.floor(high_x + 1e-9) + 1):
        x = x_of(10.0 ** exponent)
        out.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        out.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{power(exponent)}</text>')
    out.append(f'<path class="frame" fill="none" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{across}</text>')
    out.append(f'<text x="16" y="{(TOP + HEIGHT - BOTTOM) / 2:.0f}" text-anchor="middle" '
               f'transform="rotate(-90 16 {(TOP + HEIGHT - BOTTOM) / 2:.0f})">{up}</text>')
    ends = []
    for number, (name, points, dashed) in enumerate(series):
        points = sorted(points)
        places = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
        out.append(f'<polyline class="s{number}{" dash" if dashed else ""}" points="{places}"/>')
        if not dashed:
            out += [f'<circle class="s{number}" cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3"/>' for x, y in points]
        ends.append([y_of(points[-1][1]), number, name])
    ends.sort()
    for place in range(1, len(ends)):
        ends[place][0] = max(ends[place][0], ends[place - 1][0] + 15)
    over = max(0.0, ends[-1][0] - (HEIGHT - BOTTOM))
    for y, number, name in ends:
        out.append(f'<text class="s{number}" x="{WIDTH - RIGHT + 8}" y="{y - over + 4:.1f}">{name}</text>')
    path.write_text("\n".join(out) + "\n</svg>\n")


def short(value):
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def draw(results, into):
    into.mkdir(parents=True, exist_ok=True)
    names = {"batch": ("Batch", "rows a step"), "layers": ("Layers", "hidden layers of 256"),
             "parameters": ("Parameters", "parameters")}
    for axis, (title, across) in names.items():
        rows = [it for it in results if it["axis"] == axis]
        if not rows:
            continue
        x_of = (lambda it: it["parameters"]) if axis == "parameters" else (lambda it: it["point"])
        of = lambda threads, key: [(x_of(it), it[key]) for it in rows if it["threads"] == threads and key in it]
        series = [("mmhc, 1 thread", of(1, "ms"), False), ("mmhc, 2 threads", of(2, "ms"), False),
                  ("PyTorch, 1 thread", of(1, "torch_ms"), False), ("PyTorch, 2 threads", of(2, "torch_ms"), False),
                  ("floor, 1 thread", [(x_of(it), it["flops"] / PEAK * 1e3) for it in rows if it["threads"] == 1], True)]
        kept = [it for it in series if it[1]]
        figure(into / f"{axis}.svg", f"{title}: milliseconds a step", across, "ms a step", kept)
        print(f"\n| {across} | parameters | floor, ms | 1 thread, ms | 2 threads, ms | PyTorch, 1 and 2 threads | memory, MiB |")
        print("|---|---|---|---|---|---|---|")
        for point in sorted({it["point"] for it in rows}):
            by = {it["threads"]: it for it in rows if it["point"] == point}
            one, two = by.get(1, {}), by.get(2, {})
            any_of = one or two
            cell = lambda it, key: short(it[key]) if key in it else "–"
            print(f"| {point:,} | {any_of['parameters']:,} | {short(any_of['flops'] / PEAK * 1e3)} | {cell(one, 'ms')} | {cell(two, 'ms')} | "
                  f"{cell(one, 'torch_ms')}, {cell(two, 'torch_ms')} | {cell(two or one, 'mib')} |")
    rows = [it for it in results if it["axis"] == "rows"]
    if rows:
        of = lambda threads, key: [(it["point"], it[key]) for it in rows if it["threads"] == threads]
        figure(into / "rows.svg", "Rows streamed from the disk: seconds", "rows of 64 numbers", "seconds",
               [("packing, once", of(2, "pack_seconds"), False), ("opening again", of(2, "open_seconds"), False),
                ("an epoch, 1 thread", [(it["point"], it["point"] / it["rows_per_second"]) for it in rows if it["threads"] == 1], False),
                ("an epoch, 2 threads", [(it["point"], it["point"] / it["rows_per_second"]) for it in rows if it["threads"] == 2], False)])
        figure(into / "memory.svg", "Rows streamed from the disk: memory", "rows of 64 numbers", "MiB",
               [("the table", [(it["point"], it["bytes"] / 2 ** 20) for it in rows if it["threads"] == 2], False),
                ("training", of(2, "mib"), False), ("packing", of(2, "pack_mib"), False)])
        print("\n| rows | table | packing, MB/s | opening, s | rows a second, 1 and 2 threads | memory: packing, training |")
        print("|---|---|---|---|---|---|")
        for point in sorted({it["point"] for it in rows}):
            by = {it["threads"]: it for it in rows if it["point"] == point}
            one, two = by.get(1, {}), by.get(2) or by.get(1)
            print(f"| {point:,} | {two['bytes'] / 1e6:,.1f} MB | {two['bytes'] / two['pack_seconds'] / 1e6:,.0f} | {short(two['open_seconds'])} | "
                  f"{short(one.get('rows_per_second', 0))}, {short(two['rows_per_second'])} | {two['pack_mib']:,.0f}, {two['mib']:,.0f} MiB |")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("what", choices=["measure", "draw"])
    options.add_argument("axes", nargs="*", choices=[*POINTS, []])
    options.add_argument("--out", type=pathlib.Path, default=pathlib.Path("scale.json"))
    options.add_argument("--into", type=pathlib.Path, default=HERE.parent / "docs" / "scaling")
    options.add_argument("--work", type=pathlib.Path)
    options.add_argument("--points", type=lambda text: [int(word) for word in text.split(",")])
    options.add_argument("--threads", type=lambda text: [int(word) for word in text.split(",")], default=[1, 2])
    options.add_argument("--torch", action="store_true", help="PyTorch alone, beside what was measured")
    asked = options.parse_args()
    known = json.loads(asked.out.read_text()) if asked.out.exists() else []
    if asked.what == "draw":
        return draw(known, asked.into)
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.work or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for axis in asked.axes:
            for point in asked.points or POINTS[axis]:
                for threads in asked.threads:
                    same = lambda it: (it["axis"], it["point"], it["threads"]) == (axis, point, threads)
                    old = next((it for it in known if same(it)), None)
                    if asked.torch:
                        found = (old or facts(axis, point, threads)) | {"torch_ms": measure_torch(axis, point, threads)}
                    else:
                        found = measure(axis, point, threads, folder)
                    found = faster(found, old or {})
                    known = [it for it in known if not same(it)] + [found]
                    print(json.dumps(found), flush=True)
                    asked.out.write_text(json.dumps(known))


main()

"""Compares searches of two real recipes: what samplers find (with Optuna's), and how long a search takes with several workers.

    cargo build --release -p mmhc && cargo build --release -p mmh-search --example tables
    python benches/search_recipes.py [--seeds 30] [--trials 50] [--tables FOLDER]

Each recipe is first trained at every point of a grid by `mmhc run`; the figures and the seconds of each training are a table,
which both samplers ask, and by which the time of a search is counted. `--tables` keeps them. Needs `optuna`, and `cmaes` for the rows
of CMA-ES. Prints Markdown tables.
"""

import argparse
import itertools
import json
import pathlib
import shutil
import statistics
import struct
import subprocess
import tempfile

import optuna

HERE = pathlib.Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"

TABULAR = """mmh 1

seed "palmer station"

let hidden = 32 ~ choice(4, 8, 16, 32, 64)

data penguins {
  source = csv("data/penguins.csv")
  sizes: f32[feature = 3] = [source.bill_depth_mm, source.flipper_length_mm, source.body_mass_g]
                              |> impute(median) |> standardise
  species: class[source.species.classes] = source.species
  split = stratified(by = species, train = 70%, valid = 15%, test = 15%)
}

model net(sizes: f32[batch, feature = 3]) -> f32[batch, class = penguins.species.classes] {
  sizes |> linear(hidden = hidden) |> gelu |> dropout(0.1 ~ choice(0.0, 0.15, 0.3, 0.45)) |> linear(class = penguins.species.classes)
}

train fit {
  rows     = penguins.train |> shuffle |> batch(32)
  predict  = net(rows.sizes)
  loss     = cross_entropy(predict, rows.species)
  optimize = adamw(lr = 1e-2 ~ choice(3e-4, 1e-3, 3e-3, 6e-3, 1e-2, 2e-2, 5e-2, 1e-1, 3e-1), decay = 1e-2 ~ choice(0.0, 1e-2, 1e-1))
  length   = 9 epochs
  watch    = cross_entropy(predict, rows.species, on = penguins.valid)
}
"""

DIGITS = """mmh 1

seed 20260101

let hidden = 32 ~ choice(8, 16, 32, 64, 128)

data digits {
  source = csv("data/digits.csv")
  image: f32[pixel = 64] = source.pixels / 16
  label: class[10] = source.digit
  split  = stratified(by = label, train = 70%, valid = 15%, test = 15%)
}

model net(image: f32[batch, pixel = 64]) -> f32[batch, class = 10] {
  image |> linear(hidden = hidden) |> relu |> dropout(0.1 ~ choice(0.0, 0.1, 0.2, 0.4)) |> linear(class = 10)
}

train fit {
  rows     = digits.train |> shuffle |> batch(64)
  predict  = net(rows.image)
  loss     = cross_entropy(predict, rows.label)
  optimize = sgd(lr = 1e-1 ~ choice(1e-2, 3e-2, 6e-2, 1e-1, 2e-1, 4e-1, 8e-1), momentum = 0.9 ~ choice(0.0, 0.5, 0.8, 0.9))
  length   = 9 epochs
  watch    = cross_entropy(predict, rows.label, on = digits.valid)
}
"""

SEARCH = """
search all {
  run      = fit
  minimize = fit.watch
  propose  = grid
  budget   = 100000 trials
}
"""

# Text, and the number of values of each setting in the order of the text.
RECIPES = {"tabular": (TABULAR, (5, 4, 9, 3)), "digits": (DIGITS, (5, 4, 7, 4))}
RUNGS = (1, 3, 9)


def number(bits):
    return struct.unpack(">d", bytes.fromhex(bits))[0]


def made(mmhc, name, path):
    """Trains every point of a recipe's grid and writes the table."""
    text, sizes = RECIPES[name]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shutil.copytree(EXAMPLES / "data", folder / "data")
        (folder / "recipe.mmh").write_text(text + SEARCH)
        command = [str(mmhc), "run", "recipe.mmh", "--out", "out", "--threads", "1"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        lines = [json.loads(line) for line in (folder / "out/study/journal").read_text().splitlines()]
    rows, before = {}, lines[0]["wall"]["time"]
    for line in lines:
        result = line["entry"].get("result") if isinstance(line["entry"], dict) else None
        seconds, before = line["wall"]["time"] - before, line["wall"]["time"]
        if result is None:
            continue
        curve = [(step, number(bits)) for step, bits in result["curve"]]
        epoch = curve[-1][0] / RUNGS[-1] if curve else 1
        row = []
        for rung in RUNGS:
            reached = [value for step, value in curve if step <= rung * epoch and value == value]
            row += [seconds * rung / RUNGS[-1], min(reached, default=1e30)]
        rows[result["trial"]] = row
    count = 1
    for size in sizes:
        count *= size
    assert sorted(rows) == list(range(count)), f"{name}: {len(rows)} of {count} points"
    text = [" ".join(map(str, sizes))] + [" ".join(map(repr, rows[trial])) for trial in range(count)]
    path.write_text("\n".join(text) + "\n")


def sampler(name, seed):
    return {
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=True),
        "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=seed),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed),
        "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=seed, population_size=20),
    }[name]()


def theirs(sizes, figures, name, trials, seed):
    study = optuna.create_study(sampler=sampler(name, seed))

    def objective(trial):
        index = 0
        for i, size in enumerate(sizes):
            index = index * size + trial.suggest_int(str(i), 0, size - 1)
        return figures[index]

    study.optimize(objective, n_trials=trials)
    return study.best_value


def told(*words):
    out = subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True).stdout
    return [[float(word) for word in line.split()] for line in out.splitlines()]


def shown(found):
    low, middle, high = statistics.quantiles(found, n=4)
    return middle, high, f"{middle:.4f} ({low:.4f} … {high:.4f})"


def quality(binary, tables, given):
    print(f"best of {given.trials} trials, median (quartiles) over {given.seeds} seeds; Optuna {optuna.__version__}\n")
    print("| recipe | best of all | sampler | MMH | Optuna | MMH within Optuna's quartiles or better |\n|---|---|---|---|---|---|")
    for name, path in tables.items():
        lines = path.read_text().splitlines()
        sizes = [int(size) for size in lines[0].split()]
        figures = [float(line.split()[-1]) for line in lines[1:]]
        for which in given.samplers:
            mine = shown([row[0] for row in told(binary, "quality", path, which, given.trials, given.seeds)])
            other = shown([theirs(sizes, figures, which, given.trials, seed) for seed in range(given.seeds)])
            good = "yes" if mine[0] <= other[1] else "no"
            print(f"| {name}, {len(figures)} points | {min(figures):.4f} | `{which}` | {mine[2]} | {other[2]} | {good} |", flush=True)


def price(binary, tables, given):
    print("\nmedian over seeds: seconds of a search of 100 trials, the share in which workers work, the best figure\n")
    print("| recipe | how | lag | 1 worker | 2 | 4 | 8 |\n|---|---|---|---|---|---|---|")
    ways = [("asha", 0), ("halving", 3), ("hyperband", 3), ("hyperband+tpe", 3), ("median+tpe", 3), ("full+tpe", 0), ("full+tpe", 3), ("full+tpe", 7), ("full+random", 3)]
    for (name, path), (how, lag) in itertools.product(tables.items(), ways):
        cells = []
        for workers in (1, 2, 4, 8):
            rows = told(binary, "time", path, how, workers, lag, 100, given.seeds)
            seconds, share, best = (statistics.median(column) for column in zip(*rows))
            cells.append(f"{seconds:.2f} s, {100 * share:.0f} %, {best:.4f}")
        print(f"| {name} | `{how}` | {lag if how != 'asha' else '–'} | {' | '.join(cells)} |", flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--mmhc", type=pathlib.Path, default=HERE.parent / "target/release/mmhc")
    options.add_argument("--binary", default=HERE.parent / "target/release/examples/tables")
    options.add_argument("--seeds", type=int, default=30)
    options.add_argument("--trials", type=int, default=50)
    options.add_argument("--samplers", nargs="+", default=["random", "tpe", "gp", "cmaes", "nsga2"])
    options.add_argument("--tables", type=pathlib.Path, help="a folder in which tables are kept")
    given = options.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        folder = given.tables or pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tables = {name: folder / f"{name}.txt" for name in RECIPES}
        for name, path in tables.items():
            if not path.exists():
                made(given.mmhc.resolve(), name, path)
        price(given.binary, tables, given)
        quality(given.binary, tables, given)


if __name__ == "__main__":
    main()

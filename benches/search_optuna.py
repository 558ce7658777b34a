"""Compares proposals with Optuna's: best value found on standard functions, and the time that proposing takes.

    cargo build --release -p mmh-search --example functions
    python benches/search_optuna.py [--seeds 30] [--trials 100] [--time]

Needs `optuna`, and `cmaes` for the rows of CMA-ES. Prints a Markdown table: the median and the quartiles over seeds.
"""

import argparse
import math
import pathlib
import statistics
import subprocess
import time

import optuna

HERE = pathlib.Path(__file__).resolve().parent
TAU = 2 * math.pi


def shifted(x):
    return [v - 0.37 * (i % 3) - 0.21 for i, v in enumerate(x, 1)]


def branin(x):
    a, b = x
    inner = b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6
    return inner * inner + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


def hartmann(x):
    alpha = [1.0, 1.2, 3.0, 3.2]
    a = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ]
    p = [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ]
    return -sum(
        alpha[i] * math.exp(-sum(a[i][j] * (x[j] - p[i][j]) ** 2 for j in range(6))) for i in range(4)
    )


def rosenbrock(x):
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:]))


def sphere(x):
    return sum(v * v for v in shifted(x))


def ellipsoid(x):
    return sum(10 ** (6 * i / (len(x) - 1)) * v * v for i, v in enumerate(shifted(x)))


def rastrigin(x):
    return sum(v * v - 10 * math.cos(TAU * v) + 10 for v in shifted(x))


def ackley(x):
    x = shifted(x)
    squares = sum(v * v for v in x) / len(x)
    waves = sum(math.cos(TAU * v) for v in x) / len(x)
    return 20 + math.e - 20 * math.exp(-0.2 * math.sqrt(squares)) - math.exp(waves)


FUNCTIONS = {
    "branin": ([(-5, 10), (0, 15)], branin),
    "hartmann6": ([(0, 1)] * 6, hartmann),
    "rosenbrock10": ([(-5, 10)] * 10, rosenbrock),
    "sphere5": ([(-5, 5)] * 5, sphere),
    "ellipsoid5": ([(-5, 5)] * 5, ellipsoid),
    "rastrigin5": ([(-5, 5)] * 5, rastrigin),
    "ackley5": ([(-5, 5)] * 5, ackley),
}


def sampler(name, seed):
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed, multivariate=True)
    if name == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def search(ranges, value, name, trials, seed):
    study = optuna.create_study(sampler=sampler(name, seed))

    def objective(trial):
        return value([trial.suggest_float(str(i), low, high) for i, (low, high) in enumerate(ranges)])

    study.optimize(objective, n_trials=trials)
    return study.best_value


def ours(binary, *words):
    out = subprocess.run([binary, *map(str, words)], check=True, capture_output=True, text=True).stdout
    return [float(line.split()[0]) for line in out.splitlines()]


def quality(binary, trials, seeds, names):
    print(f"best of {trials} trials, median (quartiles) over {seeds} seeds\n")
    print("| function | sampler | MMH | Optuna | MMH within Optuna's quartiles or better |\n|---|---|---|---|---|")
    for function, (ranges, value) in FUNCTIONS.items():
        for name in names:
            mine = ours(binary, function, name, trials, seeds)
            theirs = [search(ranges, value, name, trials, seed) for seed in range(seeds)]
            figures = []
            for found in (mine, theirs):
                low, middle, high = statistics.quantiles(found, n=4)
                figures.append((middle, high, f"{middle:.4g} ({low:.4g} … {high:.4g})"))
            good = "yes" if figures[0][0] <= figures[1][1] else "no"
            print(f"| {function} | {name} | {figures[0][2]} | {figures[1][2]} | {good} |", flush=True)


def overhead(binary, trials, dimensions):
    print(f"\nseconds for {trials} proposals over {dimensions} numbers\n\n| sampler | MMH | Optuna | ratio |\n|---|---|---|---|")
    for name in ("tpe", "cmaes"):
        (mine,) = ours(binary, "time", name, trials, dimensions)
        began = time.perf_counter()
        search([(0, 1)] * dimensions, sphere, name, trials, 1)
        theirs = time.perf_counter() - began
        print(f"| {name} | {mine:.2f} | {theirs:.2f} | 1 / {theirs / mine:.0f} |", flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--binary", default=HERE.parent / "target/release/examples/functions")
    options.add_argument("--seeds", type=int, default=30)
    options.add_argument("--trials", type=int, default=100)
    options.add_argument("--samplers", nargs="+", default=["random", "tpe", "cmaes"])
    options.add_argument("--time", action="store_true", help="only the time of proposals")
    given = options.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if not given.time:
        quality(given.binary, given.trials, given.seeds, given.samplers)
    overhead(given.binary, 1000, 20)


if __name__ == "__main__":
    main()

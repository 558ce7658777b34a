"""Compares NSGA-II with Optuna's: the volume that the fronts found dominate, and the time that proposing takes.

    cargo build --release -p mmh-search --example fronts
    python benches/search_fronts.py [--seeds 30] [--trials 1000] [--keep FILE]

Needs `optuna`. Prints a Markdown table: the median and the quartiles over seeds; large is good. `--keep` writes Optuna's volumes to
a file, and takes them from there if it is there.
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import time

import optuna

HERE = pathlib.Path(__file__).resolve().parent


def zdt(shape):
    def value(x):
        g = 1 + 9 * sum(x[1:]) / (len(x) - 1)
        return x[0], g * shape(x[0], g)

    return value


def dtlz2(x):
    r = 1 + sum((v - 0.5) ** 2 for v in x[2:])
    a, b = (v * math.pi / 2 for v in x[:2])
    return r * math.cos(a) * math.cos(b), r * math.cos(a) * math.sin(b), r * math.sin(a)


# Name: dimensions, corner up to which volume counts, function.
FUNCTIONS = {
    "zdt1": (30, (1.1, 6.0), zdt(lambda f, g: 1 - math.sqrt(f / g))),
    "zdt2": (30, (1.1, 6.0), zdt(lambda f, g: 1 - (f / g) ** 2)),
    "zdt3": (30, (1.1, 6.0), zdt(lambda f, g: 1 - math.sqrt(f / g) - f / g * math.sin(10 * math.pi * f))),
    "dtlz2": (12, (2.0, 2.0, 2.0), dtlz2),
}


def area(points, corner):
    """The area that points of two figures dominate."""
    total, height = 0.0, corner[1]
    for a, b in sorted(points):
        if a < corner[0] and b < height:
            total += (corner[0] - a) * (height - b)
            height = b
    return total


def volume(points, corner):
    """The volume that points dominate, in slices along the last figure."""
    if len(corner) == 2:
        return area(points, corner)
    inside = sorted((p for p in points if p[-1] < corner[-1]), key=lambda p: p[-1])
    total = 0.0
    for i, p in enumerate(inside):
        end = inside[i + 1][-1] if i + 1 < len(inside) else corner[-1]
        if end > p[-1]:
            total += (end - p[-1]) * volume([q[:-1] for q in inside[: i + 1]], corner[:-1])
    return total


def optuna_front(name, trials, seed):
    dimensions, corner, value = FUNCTIONS[name]
    sampler = optuna.samplers.NSGAIISampler(seed=seed)
    study = optuna.create_study(directions=["minimize"] * len(corner), sampler=sampler)
    study.optimize(lambda t: value([t.suggest_float(str(i), 0, 1) for i in range(dimensions)]), n_trials=trials)
    return [tuple(trial.values) for trial in study.best_trials]


def own_fronts(binary, name, sampler, trials, seeds):
    words = [binary, name, sampler, str(trials), str(seeds)]
    lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    return [[tuple(map(float, trial.split(","))) for trial in line.split()] for line in lines]


def figures(found):
    low, middle, high = statistics.quantiles(found, n=4)
    return low, middle, f"{middle:.4f} ({low:.4f} … {high:.4f})"


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--binary", default=HERE.parent / "target/release/examples/fronts")
    options.add_argument("--seeds", type=int, default=30)
    options.add_argument("--trials", type=int, nargs="+", default=[250, 1000])
    options.add_argument("--functions", nargs="+", default=list(FUNCTIONS))
    options.add_argument("--keep", type=pathlib.Path)
    given = options.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kept = json.loads(given.keep.read_text()) if given.keep and given.keep.exists() else {}
    print("| function | trials | MMH | Optuna | random | MMH's median at least Optuna's lower quartile | seconds, MMH | Optuna |")
    print("|---|---|---|---|---|---|---|---|")
    for name in given.functions:
        corner = FUNCTIONS[name][1]
        for trials in given.trials:
            key = f"{name} {trials} {given.seeds}"
            if key not in kept:
                began = time.perf_counter()
                fronts = [optuna_front(name, trials, seed) for seed in range(given.seeds)]
                seconds = (time.perf_counter() - began) / given.seeds
                kept[key] = [[volume(front, corner) for front in fronts], seconds]
                if given.keep:
                    given.keep.write_text(json.dumps(kept))
            theirs, their_seconds = kept[key]
            began = time.perf_counter()
            fronts = own_fronts(given.binary, name, "nsga2", trials, given.seeds)
            seconds = (time.perf_counter() - began) / given.seeds
            mine = figures([volume(front, corner) for front in fronts])
            blind = figures([volume(front, corner) for front in own_fronts(given.binary, name, "random", trials, given.seeds)])
            their = figures(theirs)
            good = "yes" if mine[1] >= their[0] else "no"
            print(f"| {name} | {trials} | {mine[2]} | {their[2]} | {blind[1]:.4f} | {good} | {seconds:.3f} | {their_seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()

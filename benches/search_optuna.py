"""Compares proposals with Optuna's: best value found on standard functions, and the time that proposing takes.

    cargo build --release -p mmh-search --example functions
    python benches/search_optuna.py [--seeds 30] [--trials N] [--samplers tpe gp …] [--keep FILE]
    python benches/search_optuna.py --time 1000 [--dimensions 20]

Searches have 100 trials, those of `gp` 50, if `--trials` does not say otherwise. Needs `optuna`; for CMA-ES `cmaes`, for Sobol's
sequence `scipy`, for Gaussian processes `torch` and `greenlet` (without it Optuna's take twice the time), for the functions of BBOB
`ioh`. Seed s meets instance s + 1 of a function. Prints Markdown tables: the median and the
quartiles over seeds of the smallest value found, of BBOB its distance to the optimum. `--keep` writes what Optuna found to a file, and
takes it from there if it is there.
"""

import argparse
import importlib.util
import json
import math
import pathlib
import statistics
import subprocess
import time
import warnings

import optuna

if importlib.util.find_spec("greenlet") is None:
    raise SystemExit("without `greenlet` Optuna's Gaussian process takes twice its time: install it")

HERE = pathlib.Path(__file__).resolve().parent

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


def bbob(number, dimensions):
    """A function of BBOB (Hansen et al. 2009) by instance, as the distance to its optimum."""

    def instance(seed):
        import ioh

        problem = ioh.get_problem(number, instance=seed + 1, dimension=dimensions, problem_class=ioh.ProblemClass.BBOB)
        return lambda x: problem(x) - problem.optimum.y

    return [(-5, 5)] * dimensions, instance


# Name: ranges, and the function for a seed.
FUNCTIONS = {
    "Branin": ([(-5, 10), (0, 15)], lambda _: branin),
    "Hartmann-6": ([(0, 1)] * 6, lambda _: hartmann),
    "Rosenbrock-10": ([(-5, 10)] * 10, lambda _: rosenbrock),
    "f1 sphere": bbob(1, 5),
    "f2 ellipsoid": bbob(2, 5),
    "f3 Rastrigin": bbob(3, 5),
    "f8 Rosenbrock": bbob(8, 5),
    "f10 ellipsoid, rotated": bbob(10, 5),
    "f13 sharp ridge": bbob(13, 5),
    "f15 Rastrigin, rotated": bbob(15, 5),
    "f20 Schwefel": bbob(20, 5),
    "f21 Gallagher": bbob(21, 5),
}

SAMPLERS = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "sobol": lambda seed: optuna.samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
}


def theirs(ranges, value, sampler, trials, seed):
    """The smallest value that Optuna finds."""
    study = optuna.create_study(sampler=SAMPLERS[sampler](seed))

    def objective(trial):
        return value([trial.suggest_float(str(i), low, high) for i, (low, high) in enumerate(ranges)])

    study.optimize(objective, n_trials=trials)
    return study.best_value


def ours(binary, ranges, value, sampler, trials, seed):
    """The smallest value that MMH finds: it writes a point a line, and reads its value."""
    words = [binary, "ask", sampler, str(trials), str(seed), *(f"{low},{high}" for low, high in ranges)]
    best = math.inf
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as program:
        for line in program.stdout:
            found = value([float(word) for word in line.split()])
            best = min(best, found)
            program.stdin.write(f"{found!r}\n")
            program.stdin.flush()
    return best


class Kept:
    """What Optuna found, kept in a file if there is one."""

    def __init__(self, file):
        self.file = file
        self.known = json.loads(file.read_text()) if file and file.exists() else {}

    def value(self, function, sampler, trials, seed):
        key = f"{function} {sampler} {trials} {seed}"
        if key not in self.known:
            ranges, instance = FUNCTIONS[function]
            self.known[key] = theirs(ranges, instance(seed), sampler, trials, seed)
            if self.file:
                self.file.write_text(json.dumps(self.known))
        return self.known[key]


def trials_of(given, sampler):
    return given.trials or (50 if sampler == "gp" else 100)


def fill(given, kept):
    """Asks Optuna, seed after seed."""
    for seed in range(given.seeds):
        for function in given.functions:
            for name in given.samplers:
                kept.value(function, name, trials_of(given, name), seed)


def quality(given, kept):
    seeds = range(given.seeds)
    print(f"best found, median (quartiles) over {given.seeds} seeds\n")
    print("| function | sampler | trials | MMH | Optuna | MMH's median at most Optuna's upper quartile |\n|---|---|---|---|---|---|")
    for function in given.functions:
        ranges, instance = FUNCTIONS[function]
        for name in given.samplers:
            trials = trials_of(given, name)
            mine = [ours(given.binary, ranges, instance(seed), name, trials, seed) for seed in seeds]
            other = [kept.value(function, name, trials, seed) for seed in seeds]
            figures = []
            for found in (mine, other):
                low, middle, high = statistics.quantiles(found, n=4)
                figures.append((middle, high, f"{middle:.4g} ({low:.4g} … {high:.4g})"))
            good = "yes" if figures[0][0] <= figures[1][1] else "no"
            print(f"| {function} | `{name}` | {trials} | {figures[0][2]} | {figures[1][2]} | {good} |", flush=True)


def overhead(given):
    trials, dimensions = given.time, given.dimensions
    print(f"seconds for {trials} proposals over {dimensions} numbers\n\n| sampler | MMH | Optuna | ratio |\n|---|---|---|---|")
    for name in given.samplers:
        words = [given.binary, "time", name, str(trials), str(dimensions)]
        mine = float(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[0])
        began = time.perf_counter()
        theirs([(0, 1)] * dimensions, lambda x: sum((v - 0.3) ** 2 for v in x), name, trials, 1)
        seconds = time.perf_counter() - began
        print(f"| `{name}` | {mine:.3f} | {seconds:.2f} | 1 / {seconds / mine:.0f} |", flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--binary", default=HERE.parent / "target/release/examples/functions")
    options.add_argument("--seeds", type=int, default=30)
    options.add_argument("--trials", type=int)
    options.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    options.add_argument("--functions", nargs="+", default=list(FUNCTIONS), choices=list(FUNCTIONS))
    options.add_argument("--keep", type=pathlib.Path)
    options.add_argument("--optuna-only", action="store_true", help="fill the file of `--keep`")
    options.add_argument("--time", type=int, metavar="TRIALS", help="only the time that so many proposals take")
    options.add_argument("--dimensions", type=int, default=20)
    given = options.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    if given.time:
        overhead(given)
    elif given.optuna_only:
        fill(given, Kept(given.keep))
    else:
        quality(given, Kept(given.keep))


if __name__ == "__main__":
    main()

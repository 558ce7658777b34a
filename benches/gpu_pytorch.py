"""The other side of `benches/gpu`: PyTorch eager in f32 with deterministic algorithms and without TF32, on a graphics processor.

    python benches/gpu_pytorch.py data FOLDER      writes images.idx, labels.idx and letters.txt, made up
    python benches/gpu_pytorch.py time FOLDER      prints a line of JSON for each product and each workload
"""
import json
import struct
import sys
import time
from pathlib import Path

import numpy as np

SIDES = [512, 1024, 2048, 4096]
BATCH = {"a": 128, "b": 64, "c": 16, "e": 16}


def write(folder):
    draw = np.random.default_rng(1234)
    rows = 4096
    images = draw.integers(0, 256, rows * 28 * 28, dtype=np.uint8)
    (folder / "images.idx").write_bytes(struct.pack(">4I", 0x803, rows, 28, 28) + images.tobytes())
    labels = draw.integers(0, 10, rows, dtype=np.uint8)
    (folder / "labels.idx").write_bytes(struct.pack(">2I", 0x801, rows) + labels.tobytes())
    (folder / "letters.txt").write_bytes((draw.integers(0, 65, 128 * 512 + 1, dtype=np.uint8) + 48).tobytes())


def models(torch):
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, width=128, heads=4):
            super().__init__()
            self.heads = heads
            self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.wide, self.back = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            batch, length, width = x.shape
            parts = self.qkv(self.first(x)).split(width, 2)
            q, k, v = (p.view(batch, length, self.heads, -1).transpose(1, 2) for p in parts)
            # Written out: the fused kernels have no deterministic gradient.
            scores = (q @ k.transpose(-1, -2)) * (width // self.heads) ** -0.5
            mask = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
            seen = scores.masked_fill(mask, float("-inf")).softmax(-1) @ v
            x = x + self.join(seen.transpose(1, 2).reshape(batch, length, width))
            return x + self.back(F.gelu(self.wide(self.second(x))))

    class Letters(nn.Module):
        def __init__(self, width=128, layers=4, heads=4):
            super().__init__()
            self.table, self.places = nn.Embedding(65, width), nn.Parameter(0.02 * torch.randn(128, width))
            self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 65)

        def forward(self, x):
            return self.head(self.norm(self.blocks(self.table(x) + self.places))).flatten(0, 1)

    a = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )
    b = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    adam, sgd, adamw = torch.optim.Adam, torch.optim.SGD, torch.optim.AdamW
    return {
        "a": (a, lambda p: adam(p, 1e-3)),
        "b": (b, lambda p: sgd(p, 0.01, momentum=0.9)),
        "c": (Letters(), lambda p: adamw(p, 3e-4, weight_decay=0.1)),
        "e": (Letters(512, 8, 8), lambda p: adamw(p, 3e-4, weight_decay=0.1)),
    }


def batches(torch, folder, workload, device):
    """Batches in the host's memory: mmhc brings each of its own to the device too."""
    count = BATCH[workload]
    if workload in "ce":
        text = np.frombuffer((folder / "letters.txt").read_bytes(), np.uint8).astype(np.int64) - 48
        starts = range(0, len(text) - 128 * count, 128 * count)
        pair = lambda s: (text[s : s + 128 * count], text[s + 1 : s + 1 + 128 * count])
        return [(torch.tensor(x).view(count, 128), torch.tensor(y)) for x, y in map(pair, starts)]
    images = np.frombuffer((folder / "images.idx").read_bytes()[16:], np.uint8).reshape(-1, 1, 28, 28)
    labels = np.frombuffer((folder / "labels.idx").read_bytes()[8:], np.uint8).astype(np.int64)
    images = torch.tensor(images.astype(np.float32) / 255)
    return [(images[s : s + count], torch.tensor(labels[s : s + count])) for s in range(0, len(labels), count)]


def main():
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what == "data":
        return write(folder)
    import torch

    torch.use_deterministic_algorithms(True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(1)
    kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    wait = {"cuda": lambda: torch.cuda.synchronize(), "mps": lambda: torch.mps.synchronize()}.get(kind, lambda: None)
    name = torch.cuda.get_device_name() if kind == "cuda" else kind

    def least(call, calls):
        """Seconds of a call, the least of five rounds of `calls`, after one round that is not timed."""
        best = float("inf")
        for round_number in range(6):
            wait()
            began = time.perf_counter()
            for _ in range(calls):
                call()
            wait()
            if round_number:
                best = min(best, (time.perf_counter() - began) / calls)
        return best

    for side in SIDES:
        x, y = torch.rand(side, side, device=kind), torch.rand(side, side, device=kind)
        seconds = least(lambda: x @ y, 10)
        print(json.dumps({"device": name, "product": side, "gflops": round(2 * side**3 / seconds / 1e9, 1)}), flush=True)
    for workload, (model, optimiser) in models(torch).items():
        model = model.to(kind)
        optimiser = optimiser(model.parameters())
        given = batches(torch, folder, workload, kind)
        at = [0]

        def step():
            x, y = (tensor.to(kind) for tensor in given[at[0] % len(given)])
            at[0] += 1
            optimiser.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimiser.step()

        print(json.dumps({"device": name, "workload": workload, "ms": round(1e3 * least(step, 20), 4)}), flush=True)


main()

"""The network of examples/digits.mmh in PyTorch eager: same data split sizes, batch, epochs, augmentation and optimiser.

    pip install torch numpy
    python benches/digits_pytorch.py --threads 2 --epochs 30

Prints one JSON line: seconds of training (without imports and reading), milliseconds a step, test accuracy.
"""
import argparse
import json
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

options = argparse.ArgumentParser()
options.add_argument("--threads", type=int, default=2)
options.add_argument("--epochs", type=int, default=30)
options.add_argument("--data", default="examples/data/digits.csv")
options = options.parse_args()
torch.set_num_threads(options.threads)
torch.manual_seed(1)

table = np.genfromtxt(options.data, delimiter=",", skip_header=1, dtype=np.float32)
pixels = torch.from_numpy(table[:, :64] / 16).reshape(-1, 1, 8, 8)
labels = torch.from_numpy(table[:, 64]).long()
order = torch.randperm(len(labels))
train, test = order[:1259], order[1529:]


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.na = nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c)
        self.b, self.nb = nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c)

    def forward(self, x):
        return F.relu(x + self.nb(self.b(F.relu(self.na(self.a(x))))))


def layer(i, o, stride=1):
    return [nn.Conv2d(i, o, 3, stride, padding=1), nn.BatchNorm2d(o), nn.ReLU()]


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


w = 24
net = nn.Sequential(
    *layer(1, w), Residual(w), Residual(w), *layer(w, 2 * w, 2), Residual(2 * w), Residual(2 * w),
    Mean(), nn.Dropout(0.1), nn.Linear(2 * w, 10),
)
steps = math.ceil(len(train) / 64)
adam = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
warm, total = 2 * steps, 30 * steps
rate = lambda s: (s + 1) / warm if s < warm else 0.5 * (1 + math.cos(math.pi * (s - warm) / (total - warm)))
schedule = torch.optim.lr_scheduler.LambdaLR(adam, rate)


def gentle(x):
    n = len(x)
    turn = (torch.rand(n) * 24 - 12) * math.pi / 180
    c, s = turn.cos(), turn.sin()
    shift = (torch.rand(n, 2) * 2 - 1) * 2 / 8
    theta = torch.stack([torch.stack([c, s, shift[:, 0]], 1), torch.stack([-s, c, shift[:, 1]], 1)], 1)
    x = F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), align_corners=False)
    return x + 0.03 * torch.randn_like(x)


def epoch():
    net.train()
    for rows in train[torch.randperm(len(train))].split(64):
        loss = F.cross_entropy(net(gentle(pixels[rows])), labels[rows])
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()


began = time.perf_counter()
for _ in range(options.epochs):
    epoch()
seconds = time.perf_counter() - began
net.eval()
with torch.no_grad():
    accuracy = (net(pixels[test]).argmax(1) == labels[test]).float().mean().item()
print(json.dumps({"torch": torch.__version__, "threads": options.threads, "seconds": round(seconds, 2),
                  "ms_per_step": round(1e3 * seconds / (options.epochs * steps), 3), "test_accuracy": round(accuracy, 4)}))

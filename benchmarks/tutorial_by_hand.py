"""One measurement of the PyTorch tutorial as somebody does it by hand: one setting, one batch, one process.

The network, the warm-up and the profiled passes are those of the tutorial
[pytorch/tutorials recipes_source/inference_tuning_on_aws_graviton.rst]; the setting comes with the
environment, the batch as the argument.
"""

import sys

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

WARM_UP = 50
PROFILED = 100

if __name__ == "__main__":
    batch = int(sys.argv[1])
    stack = (nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 11008), nn.ReLU(), nn.Linear(11008, 10))
    model = nn.Sequential(nn.Flatten(), *stack)
    x = torch.rand(batch, 64, 64)
    with torch.no_grad():
        for _ in range(WARM_UP):
            model(x)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            for _ in range(PROFILED):
                model(x)
    print(profiled.key_averages().table(sort_by="self_cpu_time_total"))

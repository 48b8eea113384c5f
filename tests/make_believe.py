"""An interpreter that only says what a worker would: whole calibrations in real processes, in no time.

Its times are what it claims. Without variables a forward pass takes 100 ms, with bf16 50 ms.
"""

from pathlib import Path

from tests.calibration.stand_ins import make_stand_in

LAYERS, BATCHES = "64x64,64x10", "4,40"
OPTIONS = ("--layers", LAYERS, "--batch", BATCHES, "--settings", "bf16")

ANSWERS = """
import hashlib
fast = "DNNL_DEFAULT_FPMATH_MODE" in os.environ
threads = int(os.environ.get("OMP_NUM_THREADS", "2"))
name = command["command"]
memory = dict(rss_anon=400 << 20, peak=500 << 20, anon_huge=0)
def digest(*words):
    return hashlib.md5(repr(words).encode()).hexdigest()
def product(layer, batch):
    error = 2e-3 if fast else 3e-7
    return dict(layer=layer, digest=digest(layer, batch, fast), blas_digest=digest(layer, batch),
                stable=True, error=error)
def case(batch):
    error = 3e-3 if fast else 4e-7
    return dict(batch=batch, products=[product(layer, batch) for layer in (0, 1)], digest=digest(batch, fast),
                error=error, worst_row_error=error, cosine=0.99999, finite=True, argmax_flips=0,
                argmax_rows=batch, kernels=["gemm:acl wei:f32"])
{extra}
if name == "run":
    run([50_000_000 if fast else 100_000_000] * command["iterations"])
elif name == "memory":
    say(memory)
elif name == "observe":
    say(dict(cases=[case(40), case(4)], control_digest=digest("own"), control_blas_digest=digest("blas"),
             threads=threads, memory=memory))
elif name == "operators":
    say(dict(operators=[dict(name="aten::addmm", calls=200, self_ns=900, total_ns=1000)]))
elif name == "probe":
    say(dict(machine="x86_64", version="2.9.1", location="/opt/app/torch", configuration="oneDNN v3.7.1",
             onednn=True, acl_version="25.02", libraries=["libopenblas.so"], openblas_version="0.3.30",
             mimalloc=False, huge_pages=False, bf16=True, cpu_capability="SVE256", threads=2,
             markers=["DNNL_DEFAULT_FPMATH_MODE"]))
"""


def make_believe(folder: Path, extra: str = "") -> Path:
    """Writes such an interpreter into a folder.

    Args:
        folder: where.
        extra: lines that run first in answer to each command; they know its `name`, and whether it is `fast`.
    """
    return make_stand_in(folder, ANSWERS.replace("{extra}", extra))

"""The process that is measured: it loads the workload in the unit's own interpreter and runs what it is told.

Run as `PYTHON worker.py` with the standard library and torch alone, on Python 3.8 or later and torch 2.0 or
later (Pythons from 3.6 can parse it, and say in the greeting what they are). Commands come as JSON lines on
stdin; each is answered by one JSON line on the file that was stdout. All else that prints goes to stderr:
oneDNN logs from C, torch warns. It ends when stdin ends, or with the process that started it.

It is started without -I, -E and -s: the unit's PYTHONPATH or user site may be how the unit finds torch.
"""

import sys

if __name__ == "__main__":
    # Python put the agent's folder first on the path, where its modules would hide those of the unit.
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        del sys.path[0]
    sys.dont_write_bytecode = True

import contextlib
import ctypes
import gc
import hashlib
import importlib
import json
import math
import mmap
import os
import re
import struct
import tempfile
import time
import warnings
from functools import partial
from typing import Any, BinaryIO, Callable, Dict, FrozenSet, Iterator, List, Optional, Sequence, Tuple

GREETING = "graviton-agent worker"
KIB = 1024
MIB = 1024 * KIB

PR_SET_PDEATHSIG = 1
SIGKILL = 9

# A prime above any dimension (2**20): in a matrix of repetitions of so many numbers no two rows are equal.
PATTERN = 1048583
REFERENCE_PIECE = 32 * MIB
SAMPLED_ROWS = 32
SAMPLED_COLUMNS = 256
CANARY_SIZE = 512
CANARY_RUNS = 3
CONTROL_SIZES = (512, 2048)
LOG_LIMIT = 4 * MIB
OPERATORS = 64
SWITCHED_OFF = "torch switched oneDNN off by itself"


class Network:
    """The tutorial's stack: Flatten, then Linear and ReLU in turn, without a ReLU after the last Linear."""

    def __init__(
        self, torch: Any, layers: Sequence[Sequence[int]], batches: Sequence[int], seed: int
    ) -> None:
        self.torch = torch
        self.batches = sorted(batches, reverse=True)
        generator = torch.Generator().manual_seed(seed)
        self.pattern = torch.rand(PATTERN, generator=generator)
        self.linears = [self._linear(inputs, outputs) for inputs, outputs in layers]
        self.flatten = torch.nn.Flatten()
        self.relu = torch.nn.ReLU()
        modules = [self.flatten]
        for linear in self.linears:
            modules += [linear, self.relu]
        self.module = torch.nn.Sequential(*modules[:-1]).eval()
        width = layers[0][0]
        side = math.isqrt(width)
        # The tutorial's input is a batch of square images.
        shape = (side, side) if side * side == width else (1, width)
        self.samples = torch.rand((self.batches[0], *shape), generator=generator)

    def _linear(self, inputs: int, outputs: int) -> Any:
        """A layer with torch's default distribution, written at the speed of memory.

        Drawing every weight anew costs 0.28 s for the tutorial's network. Weights that are never written stay
        on the kernel's one page of zeros, and make a small batch look 44 % too fast.
        """
        torch = self.torch
        scaled = (self.pattern * 2 - 1) / math.sqrt(inputs)
        linear = torch.nn.Linear(1, 1)
        linear.in_features, linear.out_features = inputs, outputs
        linear.weight = torch.nn.Parameter(torch.empty(outputs, inputs), requires_grad=False)
        linear.bias = torch.nn.Parameter(scaled[-outputs:].clone(), requires_grad=False)
        repeat(scaled, linear.weight)
        return linear

    def inputs(self, batch: int) -> Any:
        """The first rows of the same samples, so that one reference serves every batch."""
        return self.samples[:batch]

    def product_inputs(self, layer: int, batch: int) -> Any:
        """Inputs of one layer that are the same in every process, whatever the other layers compute."""
        if layer == 0:
            return self.inputs(batch).flatten(1)
        made = outside_allocator(self.torch, (batch, self.linears[layer].in_features), self.torch.float32)
        repeat(self.pattern, made)
        return made

    def forward_split(self, x: Any, blas_layers: FrozenSet[int]) -> Any:
        """A forward pass in which torch's flag sends some layers to the BLAS library."""
        flag = self.torch._C
        x = self.flatten(x)
        last = len(self.linears) - 1
        for index, linear in enumerate(self.linears):
            onednn = index not in blas_layers
            flag._set_mkldnn_enabled(onednn)
            x = linear(x)
            if flag._get_mkldnn_enabled() != onednn:
                raise RuntimeError(SWITCHED_OFF)
            if index < last:
                x = self.relu(x)
        flag._set_mkldnn_enabled(True)
        return x

    def reference(self) -> Any:
        """The output in float64 for all samples: activations transposed, weights converted piece by piece."""
        torch = self.torch
        samples = self.samples.flatten(1).t()
        activations = outside_allocator(torch, samples.shape, torch.float64).copy_(samples)
        for index, linear in enumerate(self.linears):
            inputs, outputs = linear.in_features, linear.out_features
            rows = max(1, min(outputs, REFERENCE_PIECE // (8 * inputs)))
            piece = outside_allocator(torch, (rows, inputs), torch.float64)
            result = outside_allocator(torch, (outputs, activations.shape[1]), torch.float64)
            for start in range(0, outputs, rows):
                weight = linear.weight[start : start + rows]
                torch.mm(piece[: len(weight)].copy_(weight), activations, out=result[start : start + rows])
            result += linear.bias.double().unsqueeze(1)
            activations = result.clamp_(min=0) if index < len(self.linears) - 1 else result
        return activations.t()


FACTORIES = {"linear-stack": Network}


class Worker:
    """Answers commands. The first of them imports torch, once the CPU mask is set."""

    torch: Any
    network: Any

    def start_torch(self, cpus: Optional[Sequence[int]] = None) -> None:
        """Imports torch on these CPUs: OpenMP reads the mask when it is loaded."""
        if cpus is not None:
            os.sched_setaffinity(0, cpus)
        warnings.filterwarnings("ignore", message="Failed to initialize NumPy")
        gc.disable()
        self.torch = importlib.import_module("torch")
        gc.enable()
        self.torch.set_grad_enabled(False)
        self.threads = self.torch.get_num_threads()

    # The methods from here to `probe` are the commands.

    def load(
        self,
        factory: str,
        layers: Sequence[Sequence[int]],
        batches: Sequence[int],
        seed: int,
        cpus: Optional[Sequence[int]],
    ) -> Dict[str, Any]:
        """Makes the workload's callable and its inputs."""
        self.start_torch(cpus)
        self.network = FACTORIES[factory](self.torch, layers, batches, seed)
        self.canary_operands = [self.torch.ones(CANARY_SIZE, CANARY_SIZE) for _ in range(3)]
        gc.collect()
        gc.freeze()
        return {"threads": self.threads}

    def run(
        self, batch: int, blas_layers: Sequence[int], threads: Optional[int], iterations: int
    ) -> Dict[str, Any]:
        """Times a block of forward passes on one path."""
        network = self.network
        x, blas = network.inputs(batch), frozenset(blas_layers)
        split = partial(network.forward_split, x, blas)
        forward = split if blas else partial(network.module, x)
        if threads is not None:
            self.torch.set_num_threads(threads)
        gc.disable()
        try:
            cpu = time.process_time_ns()
            canary = self.canary()
            elapsed, calls = timed(forward, iterations)
            cpu = time.process_time_ns() - cpu
        finally:
            gc.enable()
            if threads is not None:
                self.torch.set_num_threads(self.threads)
        self.check_flag()
        return {"elapsed_ns": elapsed, "calls_ns": calls, "canary_ns": canary, "cpu_ns": cpu}

    def observe(self) -> Dict[str, Any]:
        """Looks at every case untimed: bits, errors, kernels and memory."""
        network = self.network
        outputs, kernels = {}, {}
        for batch in network.batches:
            with self.onednn_log() as log:
                outputs[batch] = network.module(network.inputs(batch))
            kernels[batch] = kernels_in(log)
        # Before what only the observation needs.
        memory = self.memory()
        reference = network.reference()
        cases = []
        for batch in network.batches:
            case = self.accuracy(outputs[batch], reference[:batch])
            case["batch"] = batch
            case["products"] = [self.product(layer, batch) for layer in range(len(network.linears))]
            case["digest"] = digest(outputs[batch])
            case["kernels"] = kernels[batch]
            cases.append(case)
        answer = {"cases": cases, "threads": self.threads, "memory": memory}
        answer.update(self.control())
        self.check_flag()
        forget_peak()
        return answer

    def operators(self, batch: int, warmup: int, iterations: int) -> Dict[str, Any]:
        """The profiler's table of operators, as the tutorial prints it."""
        profiler = importlib.import_module("torch.profiler")
        module, x = self.network.module, self.network.inputs(batch)
        timed(partial(module, x), warmup)
        with profiler.profile(activities=[profiler.ProfilerActivity.CPU]) as profile:
            timed(partial(module, x), iterations)
        rows = [
            {
                "name": row.key,
                "calls": row.count,
                "self_ns": int(row.self_cpu_time_total * 1000),
                "total_ns": int(row.cpu_time_total * 1000),
            }
            for row in profile.key_averages()
        ]
        return {"operators": sorted(rows, key=lambda row: -row["self_ns"])[:OPERATORS]}

    def memory(self) -> Dict[str, int]:
        """What this process occupies now, in bytes."""
        status = kilobytes("/proc/self/status")
        return {
            "rss_anon": status.get("RssAnon", 0),
            "peak": status.get("VmHWM", 0),
            "anon_huge": kilobytes("/proc/self/smaps_rollup").get("AnonHugePages", 0),
        }

    def probe(self, markers: Sequence[str]) -> Dict[str, Any]:
        """The facts of this interpreter's torch."""
        self.start_torch()
        torch = self.torch
        folder = os.path.dirname(torch.__file__)
        libraries = loaded_libraries(torch.__file__)
        c10 = [library for library in libraries if library.name.startswith("libc10.so")]
        return {
            "machine": os.uname().machine,
            "version": str(torch.__version__),
            "location": folder,
            "configuration": torch.__config__.show(),
            "onednn": torch.backends.mkldnn.is_available(),
            "acl_version": first_match(libraries, rb"arm_compute_version=v?([0-9][0-9.]*)"),
            "openblas_version": first_match(libraries, rb"OpenBLAS ([0-9]+\.[0-9.]+)"),
            "libraries": [library.name for library in libraries],
            "mimalloc": any(library.contains("mimalloc") for library in c10) if c10 else None,
            "huge_pages": self.huge_pages(),
            "bf16": attempt(lambda: bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())),
            "cpu_capability": attempt(lambda: str(torch.backends.cpu.get_cpu_capability())),
            "threads": self.threads,
            "markers": [marker for marker in markers if any(one.contains(marker) for one in libraries)],
        }

    # What the commands are made of.

    def canary(self) -> int:
        """The best time of a small fixed product by the BLAS library, on the threads of the coming block."""
        left, right, result = self.canary_operands
        with self.without_onednn():
            return min(timed(partial(self.torch.mm, left, right, out=result), CANARY_RUNS)[1])

    @contextlib.contextmanager
    def without_onednn(self) -> Iterator[None]:
        """Has the BLAS library compute everything, by torch's own flag."""
        self.check_flag()
        self.torch._C._set_mkldnn_enabled(False)
        try:
            yield
        finally:
            self.torch._C._set_mkldnn_enabled(True)

    def check_flag(self) -> None:
        """After one failure in oneDNN torch warns, and never uses it again in that process."""
        if not self.torch._C._get_mkldnn_enabled():
            raise RuntimeError(SWITCHED_OFF)

    def product(self, layer: int, batch: int) -> Dict[str, Any]:
        """One layer alone: its bits on the process's own path and with oneDNN off, and its error."""
        torch, linear = self.torch, self.network.linears[layer]
        x = self.network.product_inputs(layer, batch)
        output = linear(x)
        own = digest(output)
        with self.without_onednn():
            blas = digest(linear(x))
        rows = spread(torch, batch, SAMPLED_ROWS)
        columns = spread(torch, linear.out_features, SAMPLED_COLUMNS)
        exact = x[rows].double() @ linear.weight[columns].double().t() + linear.bias[columns].double()
        error = (output[rows][:, columns].double() - exact).norm() / exact.norm()
        return {
            "layer": layer,
            "digest": own,
            "blas_digest": blas,
            # Two runs that gave the same bits need no third.
            "stable": own == blas or own == digest(linear(x)),
            "error": finite(error),
        }

    def accuracy(self, output: Any, exact: Any) -> Dict[str, Any]:
        """How far a case's output is from float64."""
        torch = self.torch
        difference = output.double() - exact
        # A single output has nothing to be centred against.
        centred_norm = (exact - exact.mean()).norm() if exact.numel() > 1 else exact.norm()
        row_norm = centred_norm / math.sqrt(len(exact))
        flips = rows = 0
        if exact.shape[1] > 1:
            # The guard allows an error of 3 * sqrt(layers) roundings to the 8 bits of bf16.
            bound = 3 * math.sqrt(len(self.network.linears)) * 2.0**-8 * row_norm
            best = exact.topk(2, dim=1)
            clear = best.values[:, 0] - best.values[:, 1] > 2 * bound
            moved = output.argmax(dim=1) != best.indices[:, 0]
            rows, flips = int(clear.sum()), int((clear & moved).sum())
        cosine = torch.nn.functional.cosine_similarity(output.double().flatten(), exact.flatten(), dim=0)
        return {
            "error": finite(difference.norm() / centred_norm),
            "worst_row_error": finite((difference.norm(dim=1) / row_norm).max()),
            "cosine": finite(cosine),
            "finite": bool(torch.isfinite(output).all()),
            "argmax_flips": flips,
            "argmax_rows": rows,
        }

    def control(self) -> Dict[str, str]:
        """A square product that oneDNN takes wherever it takes any: above all thresholds in question.

        It has a bias: up to a depth of 512 the Arm Compute Library and OpenBLAS sum in the same order, so
        that without one they give the same bits [seen with torch 2.9.1 on an emulated Neoverse V1].
        """
        torch, network = self.torch, self.network
        thresholds = [
            min(batch, linear.in_features, linear.out_features)
            for batch in network.batches
            for linear in network.linears
        ]
        low, high = CONTROL_SIZES
        size = min(high, max(low, max(thresholds) + 1))
        square = outside_allocator(torch, (size, size), torch.float32)
        repeat(network.pattern, square)
        own = digest(torch.nn.functional.linear(square, square, square[0]))
        with self.without_onednn():
            blas = digest(torch.nn.functional.linear(square, square, square[0]))
        return {"control_digest": own, "control_blas_digest": blas}

    @contextlib.contextmanager
    def onednn_log(self) -> Iterator[List[str]]:
        """Collects the lines that oneDNN logs meanwhile; it prints them from C on file descriptor 1."""
        lines: List[str] = []
        if not self.torch.backends.mkldnn.is_available():
            yield lines
            return
        set_verbose = self.torch._C._verbose.mkldnn_set_verbose
        with scratch_file() as log:
            stdout = os.dup(1)
            os.dup2(log.fileno(), 1)
            set_verbose(1)
            try:
                yield lines
            finally:
                set_verbose(0)
                ctypes.CDLL(None).fflush(None)
                os.dup2(stdout, 1)
                os.close(stdout)
            log.seek(0)
            lines += log.read(LOG_LIMIT).decode("utf-8", "replace").splitlines()

    def huge_pages(self) -> bool:
        """Whether the kernel backs a tensor of 64 MiB with huge pages."""
        before = self.memory()["anon_huge"]
        tensor = self.torch.empty(64 * MIB, dtype=self.torch.uint8).fill_(1)
        grown: int = self.memory()["anon_huge"] - before
        return len(tensor) > 0 and grown >= 32 * MIB


def timed(call: Callable[[], Any], iterations: int) -> Tuple[int, List[int]]:
    """Nanoseconds of all calls together, and of each."""
    clock = time.perf_counter_ns
    calls = []
    start = previous = clock()
    for _ in range(iterations):
        call()
        now = clock()
        calls.append(now - previous)
        previous = now
    return previous - start, calls


def repeat(pattern: Any, target: Any) -> None:
    """Fills a tensor with repetitions of a pattern."""
    flat = target.view(-1)
    for start in range(0, len(flat), len(pattern)):
        piece = flat[start : start + len(pattern)]
        piece.copy_(pattern[: len(piece)])


def outside_allocator(torch: Any, shape: Sequence[int], dtype: Any) -> Any:
    """A tensor that the allocator knows nothing of: what an observation needs must not change its state."""
    size = shape[0] * shape[1] * torch.empty(0, dtype=dtype).element_size()
    return torch.frombuffer(mmap.mmap(-1, size), dtype=dtype).view(*shape)


def digest(tensor: Any) -> str:
    """A hash of a tensor's bits, without numpy."""
    tensor = tensor.contiguous()
    size = tensor.numel() * tensor.element_size()
    buffer = (ctypes.c_char * size).from_address(tensor.data_ptr())
    return hashlib.blake2b(buffer, digest_size=16).hexdigest()


def finite(scalar: Any) -> Optional[float]:
    """The number, or None for what JSON has no word for."""
    value: float = scalar.item()
    return value if math.isfinite(value) else None


def spread(torch: Any, size: int, count: int) -> Any:
    """At most `count` indices from the first to the last."""
    return torch.linspace(0, size - 1, min(size, count)).round().long()


def kernels_in(log: Sequence[str]) -> List[str]:
    """The distinct `implementation weight-type` pairs of the primitives with weights that were executed.

    The start of a line differs by version ("dnnl_verbose,exec,cpu,matmul,gemm:jit,...",
    "onednn_verbose,v1,primitive,exec,cpu,matmul,gemm:acl,..."), and so does the sign of a type
    ("wei_f32::blocked", "wei:f32:a:blocked").
    """
    found = set()
    for line in log:
        fields = line.split(",")
        weight = re.search(r"\bwei[:_](\w+?):", line)
        if weight and fields[0] in ("onednn_verbose", "dnnl_verbose") and "exec" in fields[:-3]:
            found.add("{} wei:{}".format(fields[fields.index("exec") + 3], weight.group(1)))
    return sorted(found)


def kilobytes(path: str) -> Dict[str, int]:
    """The `Name: 12 kB` lines of a file of /proc, in bytes; empty where the kernel has no such file."""
    try:
        with open(path) as file:
            return {
                name: int(size) * KIB for name, size in re.findall(r"(?m)^(\w+):\s+(\d+) kB$", file.read())
            }
    except OSError:
        return {}


def forget_peak() -> None:
    """Has the kernel count the high-water mark anew from here [proc_pid_clear_refs(5)]."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def scratch_file() -> BinaryIO:
    """A file that nobody else sees."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("log"), "w+b")
    return tempfile.TemporaryFile()


def attempt(call: Callable[[], Any]) -> Any:
    """What a function says that not every torch has; None where it fails."""
    try:
        return call()
    except (AttributeError, RuntimeError):
        return None


class Library:
    """A shared library, searched where its string constants are."""

    def __init__(self, path: str) -> None:
        self.name = os.path.basename(path)
        with open(path, "rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.start, self.end = constants(self.bytes)

    def contains(self, text: str) -> bool:
        """Whether the constants contain this text."""
        return self.bytes.find(text.encode(), self.start, self.end) >= 0


def first_match(libraries: Sequence[Library], pattern: bytes) -> Optional[str]:
    """The first group of a pattern's first match in the first library that has one."""
    for library in libraries:
        match = re.compile(pattern).search(library.bytes, library.start, library.end)
        if match:
            return match.group(1).decode("ascii").rstrip(".")
    return None


def loaded_libraries(torch_file: str) -> List[Library]:
    """The shared libraries in this process that come with torch, or do its arithmetic."""
    with open("/proc/self/maps", "rb") as file:
        paths = {os.fsdecode(path) for path in re.findall(rb"(?m) (/.*\.so[^/\n]*)$", file.read())}
    # The folder torch itself, and torch.libs beside it, where wheels keep what they bundle.
    # The kernel gives paths without links, and a venv may lie behind one, or be made of them.
    own = os.path.dirname(os.path.realpath(torch_file))
    arithmetic = re.compile("(?<!cu)blas|mkl|dnnl|arm_compute|omp|blis")
    # numpy and scipy bring a BLAS library that torch doesn't call.
    others = re.compile(r"/(numpy|scipy)(\.libs)?/")
    libraries = []
    for path in sorted(paths):
        bundled = path.startswith((own + os.sep, own + ".libs" + os.sep))
        if bundled or (arithmetic.search(os.path.basename(path)) and not others.search(path)):
            # A library may have been replaced on disk since it was loaded.
            with contextlib.suppress(OSError):
                libraries.append(Library(path))
    return libraries


def constants(elf: mmap.mmap) -> Tuple[int, int]:
    """Where .rodata begins and ends in a 64-bit little-endian ELF file; the whole of any other file.

    libtorch_cpu.so has 400 MB, of which 18 MB are constants.
    """
    try:
        table, size, count, names = struct.unpack_from("<Q10xHHH", elf, 40)
        sections = [struct.unpack_from("<I20xQQ", elf, table + index * size) for index in range(count)]
        for name, offset, length in sections:
            start = sections[names][1] + name
            if elf[start : start + 8] == b".rodata\0":
                return offset, offset + length
    except (struct.error, IndexError, OverflowError):
        pass
    return 0, len(elf)


def answer_to(worker: Worker, line: str) -> Dict[str, Any]:
    """Carries out one command; what goes wrong is an answer too."""
    try:
        command = json.loads(line)
        answer: Dict[str, Any] = getattr(worker, command.pop("command"))(**command)
    except Exception as error:  # noqa: BLE001 - the agent is told, whatever it was
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        return {"error": "{}: {}".format(type(error).__name__, error)[:2000], "missing": missing}
    return answer


def main() -> None:
    """Greets, then answers until stdin ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # The line break closes whatever a sitecustomize or a preloaded library has printed before.
    answers.write("\n{} {}.{}.{}\n".format(GREETING, *sys.version_info[:3]))
    answers.flush()
    worker = Worker()
    for line in sys.stdin:
        answers.write(json.dumps(answer_to(worker, line), allow_nan=False) + "\n")
        answers.flush()
    # torch's own way of ending takes time, and may crash.
    os._exit(0)


if __name__ == "__main__":
    main()

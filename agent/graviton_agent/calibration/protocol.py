"""What a worker may answer. It runs code that isn't ours, so that nothing it prints is believed unchecked."""

import math
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graviton_agent.calibration.trial import (
    CaseObservation,
    Memory,
    Observation,
    Operator,
    ProductObservation,
)

Bytes = Annotated[int, Field(ge=0, lt=1 << 50)]
Nanoseconds = Annotated[int, Field(ge=0, lt=1 << 50)]
Duration = Annotated[int, Field(ge=1, lt=1 << 50)]
Positive = Annotated[int, Field(ge=1, lt=1 << 31)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Text = Annotated[str, Field(max_length=4096)]
Measure = Annotated[float, Field(ge=0, le=1e300)] | None


class Answer(BaseModel):
    """One line of a worker."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class FailureAnswer(Answer):
    """The worker lives, but the command failed in it."""

    error: Text
    missing: Annotated[str, Field(max_length=200)] | None
    """The module that was not found, if that was it."""


class LoadAnswer(Answer):
    """The workload is loaded."""

    threads: Positive


class RunAnswer(Answer):
    """A block was run."""

    elapsed_ns: Duration
    calls_ns: Annotated[tuple[Duration, ...], Field(min_length=1, max_length=100_000)]
    canary_ns: Duration
    cpu_ns: Nanoseconds


class MemoryAnswer(Answer):
    """What the process occupies."""

    rss_anon: Bytes
    peak: Bytes
    anon_huge: Bytes

    def memory(self) -> Memory:
        """The same as the rest of the agent knows it."""
        return Memory(rss_anon=self.rss_anon, peak=self.peak, anon_huge=self.anon_huge)


class ProductAnswer(Answer):
    """One layer's product."""

    layer: Annotated[int, Field(ge=0, lt=1024)]
    digest: Digest
    blas_digest: Digest
    stable: bool
    error: Measure


class CaseAnswer(Answer):
    """One case."""

    batch: Positive
    products: Annotated[tuple[ProductAnswer, ...], Field(min_length=1, max_length=1024)]
    digest: Digest
    error: Measure
    worst_row_error: Measure
    cosine: Annotated[float, Field(ge=-1.01, le=1.01)] | None
    finite: bool
    argmax_flips: Annotated[int, Field(ge=0, lt=1 << 31)]
    argmax_rows: Annotated[int, Field(ge=0, lt=1 << 31)]
    kernels: Annotated[tuple[Annotated[str, Field(max_length=200)], ...], Field(max_length=64)]


class ObserveAnswer(Answer):
    """An untimed look."""

    cases: Annotated[tuple[CaseAnswer, ...], Field(min_length=1, max_length=64)]
    control_digest: Digest
    control_blas_digest: Digest
    threads: Positive
    memory: MemoryAnswer

    def observation(self) -> Observation:
        """The same as the rest of the agent knows it."""
        return Observation(
            cases=tuple(_case(case) for case in self.cases),
            control_digest=self.control_digest,
            control_blas_digest=self.control_blas_digest,
            threads=self.threads,
            memory=self.memory.memory(),
        )


class OperatorAnswer(Answer):
    """A row of the profiler's table."""

    name: Annotated[str, Field(max_length=200)]
    calls: Positive
    self_ns: Nanoseconds
    total_ns: Nanoseconds


class OperatorsAnswer(Answer):
    """The profiler's table."""

    operators: Annotated[tuple[OperatorAnswer, ...], Field(max_length=64)]

    def rows(self) -> tuple[Operator, ...]:
        """The same as the rest of the agent knows it."""
        return tuple(Operator(row.name, row.calls, row.self_ns, row.total_ns) for row in self.operators)


class ProbeAnswer(Answer):
    """The facts of a torch build."""

    machine: Annotated[str, Field(max_length=64)]
    version: Annotated[str, Field(max_length=200)]
    location: Text
    configuration: Annotated[str, Field(max_length=65536)]
    onednn: bool
    acl_version: Annotated[str, Field(max_length=64)] | None
    libraries: Annotated[tuple[Text, ...], Field(max_length=1024)]
    openblas_version: Annotated[str, Field(max_length=64)] | None
    mimalloc: bool | None
    huge_pages: bool
    bf16: bool | None
    cpu_capability: Annotated[str, Field(max_length=64)] | None
    threads: Positive
    markers: Annotated[tuple[Annotated[str, Field(max_length=200)], ...], Field(max_length=1024)]


A = TypeVar("A", bound=Answer)


class ProtocolError(Exception):
    """An answer that is none; the message is one line."""


def parse(line: bytes, model: type[A]) -> A | FailureAnswer:
    """Reads an answer. Raises ProtocolError."""
    try:
        return model.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    try:
        return FailureAnswer.model_validate_json(line)
    except ValidationError:
        where = ".".join(str(part) for part in first["loc"])
        raise ProtocolError(
            f"gave an answer that makes no sense ({where or 'line'}: {first['msg']})"
        ) from None


def _case(case: CaseAnswer) -> CaseObservation:
    return CaseObservation(
        batch=case.batch,
        products=tuple(
            ProductObservation(
                layer=product.layer,
                digest=product.digest,
                blas_digest=product.blas_digest,
                stable=product.stable,
                error=_measure(product.error),
            )
            for product in case.products
        ),
        digest=case.digest,
        error=_measure(case.error),
        worst_row_error=_measure(case.worst_row_error),
        cosine=0.0 if case.cosine is None else case.cosine,
        finite=case.finite,
        argmax_flips=case.argmax_flips,
        argmax_rows=case.argmax_rows,
        kernels=case.kernels,
    )


def _measure(value: float | None) -> float:
    """A worker has no word for infinity or not-a-number: both mean as wrong as can be."""
    return math.inf if value is None else value

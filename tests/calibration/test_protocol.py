import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.calibration.protocol import (
    Answer,
    FailureAnswer,
    LoadAnswer,
    MemoryAnswer,
    ObserveAnswer,
    OperatorsAnswer,
    ProbeAnswer,
    ProtocolError,
    RunAnswer,
    parse,
)

MODELS: tuple[type[Answer], ...] = (
    LoadAnswer,
    MemoryAnswer,
    ObserveAnswer,
    OperatorsAnswer,
    ProbeAnswer,
    RunAnswer,
)
BLOCK: dict[str, Any] = {"elapsed_ns": 3, "calls_ns": [1, 2], "canary_ns": 1, "cpu_ns": 4}
MEMORY: dict[str, Any] = {"rss_anon": 1, "peak": 2, "anon_huge": 0}
OBSERVATION: dict[str, Any] = {
    "cases": [
        {
            "batch": 8,
            "products": [
                {"layer": 0, "digest": "a" * 32, "blas_digest": "b" * 32, "stable": True, "error": 2e-3}
            ],
            "digest": "c" * 32,
            "error": 2e-3,
            "worst_row_error": 4e-3,
            "cosine": 0.99999,
            "finite": True,
            "argmax_flips": 0,
            "argmax_rows": 7,
            "kernels": ["gemm:acl wei:bf16"],
        }
    ],
    "control_digest": "e" * 32,
    "control_blas_digest": "f" * 32,
    "threads": 2,
    "memory": MEMORY,
}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def line(answer: object) -> bytes:
    return json.dumps(answer).encode()


def observation(**changes: object) -> ObserveAnswer:
    case = {**OBSERVATION["cases"][0], **changes}
    answer = parse(line({**OBSERVATION, "cases": [case]}), ObserveAnswer)
    assert isinstance(answer, ObserveAnswer)
    return answer


def test_a_block_is_understood() -> None:
    assert parse(line(BLOCK), RunAnswer) == RunAnswer(elapsed_ns=3, calls_ns=(1, 2), canary_ns=1, cpu_ns=4)


def test_a_failure_is_understood_in_place_of_any_answer() -> None:
    told = parse(line({"error": "RuntimeError: stoi", "missing": None}), RunAnswer)
    assert told == FailureAnswer(error="RuntimeError: stoi", missing=None)


def test_an_observation_reaches_the_rest_of_the_agent_whole() -> None:
    case = observation().observation().case(8)
    assert (case.digest, case.products[0].blas_digest, case.kernels) == (
        "c" * 32,
        "b" * 32,
        ("gemm:acl wei:bf16",),
    )


def test_an_error_that_is_no_number_is_as_wrong_as_can_be() -> None:
    case = observation(error=None, worst_row_error=None, cosine=None, finite=False).observation().case(8)
    assert (case.error, case.worst_row_error, case.cosine) == (math.inf, math.inf, 0.0)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"null",
        b"hello",
        b"\xff\xfe\x00",
        b'"' + b"x" * 1000 + b'"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        line({**BLOCK, "elapsed_ns": math.nan}),
        line({**BLOCK, "elapsed_ns": math.inf}),
        line({**BLOCK, "elapsed_ns": -1}),
        line({**BLOCK, "elapsed_ns": 10**30}),
        line({**BLOCK, "elapsed_ns": 1.5}),
        line({**BLOCK, "elapsed_ns": "3"}),
        line({**BLOCK, "elapsed_ns": True}),
        line({**BLOCK, "calls_ns": []}),
        line({**BLOCK, "calls_ns": [1] * 100_001}),
        line({**BLOCK, "unasked": 1}),
        line({"elapsed_ns": 3}),
        b'{"elapsed_ns": ' + b"9" * 10_000 + b"}",
        b'{"elapsed_ns": 1e999, "calls_ns": [1], "canary_ns": 1, "cpu_ns": 1}',
        line(BLOCK) + line(BLOCK),
    ],
    ids=lambda garbage: garbage[:40].decode("ascii", "replace"),
)
def test_garbage_is_refused_in_one_short_line(garbage: bytes) -> None:
    with pytest.raises(ProtocolError) as refusal:
        parse(garbage, RunAnswer)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


@given(garbage=st.binary(max_size=300), model=st.sampled_from(MODELS))
def test_no_bytes_make_reading_fail_in_another_way(garbage: bytes, model: type[Answer]) -> None:
    with pytest.raises(ProtocolError):
        parse(garbage, model)


@given(answer=anything, model=st.sampled_from(MODELS))
def test_no_json_makes_reading_fail_in_another_way(answer: object, model: type[Answer]) -> None:
    with pytest.raises(ProtocolError):
        parse(line(answer), model)


@given(
    key=st.sampled_from(sorted(OBSERVATION["cases"][0])),
    value=anything,
    inside=st.sampled_from(["case", "answer"]),
)
def test_an_observation_with_any_part_exchanged_is_refused_or_whole(
    key: str, value: object, inside: str
) -> None:
    spoilt = {**OBSERVATION, "cases": [{**OBSERVATION["cases"][0], key: value}]}
    if inside == "answer":
        spoilt = {**OBSERVATION, "cases": value}
    try:
        answer = parse(line(spoilt), ObserveAnswer)
    except ProtocolError:
        return
    assert isinstance(answer, ObserveAnswer)
    case = answer.observation().cases[0]
    assert case.error >= 0
    assert not math.isnan(case.cosine)


@given(missing=st.sampled_from(sorted(OBSERVATION)))
def test_an_observation_with_a_part_missing_is_refused(missing: str) -> None:
    with pytest.raises(ProtocolError, match=missing):
        parse(line({key: value for key, value in OBSERVATION.items() if key != missing}), ObserveAnswer)

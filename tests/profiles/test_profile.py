"""A profile goes to JSON and back, and nothing else passes for one."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.calibration.outcome import Outcome
from graviton_agent.errors import StateError
from graviton_agent.profiles.profile import RETRY_AFTER, parse_profile
from tests.profiles.host import WHEN, AgentHost

KEEP: dict[str, Any] = {
    "outcome": Outcome.KEEP,
    "environment": {},
    "gain": 1.0,
    "gain_interval": (1.0, 1.0),
    "reason": "no setting can have an effect",
}
INCONCLUSIVE = {**KEEP, "outcome": Outcome.INCONCLUSIVE}


@pytest.mark.parametrize("results", [{}, KEEP, INCONCLUSIVE, {"record": "/var/lib/a.json"}])
def test_it_goes_to_json_and_back(host: AgentHost, results: dict[str, Any]) -> None:
    profile = host.profile(**results)
    assert parse_profile(profile.to_json().encode()) == profile


def test_the_variables_stand_in_the_order_of_the_catalogue(host: AgentHost) -> None:
    assert list(host.profile().environment) == ["DNNL_DEFAULT_FPMATH_MODE", "TORCH_MKLDNN_MATMUL_MIN_DIM"]


def test_the_lower_end_of_the_interval_is_promised(host: AgentHost) -> None:
    assert host.profile().promised == 1.28


Spoil = Callable[[dict[str, Any]], object]


def put(*path: str, value: Any) -> Spoil:
    """Puts a value in the place of another."""

    def spoil(tree: dict[str, Any]) -> None:
        for key in path[:-1]:
            tree = tree[key]
        tree[path[-1]] = value

    return spoil


def drop(*path: str) -> Spoil:
    """Takes a value away."""

    def spoil(tree: dict[str, Any]) -> None:
        for key in path[:-1]:
            tree = tree[key]
        del tree[path[-1]]

    return spoil


WRONG: list[tuple[Spoil, str]] = [
    (put("format", value=2), "another version"),
    (drop("format"), "'format' is missing"),
    (drop("gain"), "'gain' is missing"),
    (put("more", value=1), "it says more than the agent writes: 'more'"),
    (put("unit", value="../../etc/passwd"), "no name of a service"),
    (put("unit", value="llm@.service"), "no name of a service"),
    (put("unit", value=3), "a text is expected"),
    (put("outcome", value="better"), "better"),
    (put("outcome", value="keep"), "against its outcome"),
    (put("environment", value={}), "against its outcome"),
    (put("environment", value={"LD_PRELOAD": "/tmp/a.so"}), "no variable that a setting writes"),
    (put("environment", value={"OMP_NUM_THREADS": ""}), "no value for"),
    (put("environment", value={"OMP_NUM_THREADS": "4 5"}), "no value for"),
    (put("environment", value={"OMP_NUM_THREADS": "4\nLD_PRELOAD=/a"}), "a text is expected"),
    (put("environment", value=["OMP_NUM_THREADS"]), "a table of texts"),
    (put("gain", value="much"), "could not convert"),
    (put("gain", value=float("nan")), "no gain"),
    (put("gain", value=float("inf")), "no gain"),
    (put("gain_interval", value=[1.4, 1.5]), "no gain"),
    (put("gain_interval", value=[-1.0, 1.5]), "no gain"),
    (put("gain_interval", value=[1.0]), "not enough values"),
    (put("calibrated", value="yesterday"), "yesterday"),
    (put("calibrated", value="2026-11-23T08:00:00"), "without its zone"),
    (put("reason", value="a\x1b[31mred"), "a text is expected"),
    (put("reason", value="a" * 3000), "no reason"),
    (put("fingerprint", value="c7g"), "is not as the agent writes it"),
    (put("fingerprint", "shared", value={}), "for which"),
    (drop("fingerprint", "shared", "instance"), "for which instance it was made"),
    (drop("fingerprint", "local", "python"), "for which python it was made"),
    (put("fingerprint", "shared", "phase of the moon", value="full"), "doesn't know"),
    (put("fingerprint", "local", "moon", value="full"), "doesn't know"),
    (put("fingerprint", "local", "cpus", value="all"), "no mask"),
    (put("fingerprint", "more", value={}), "'more'"),
]


@pytest.mark.parametrize(("spoil", "words"), WRONG)
def test_what_the_agent_would_not_write_is_no_profile(host: AgentHost, spoil: Spoil, words: str) -> None:
    tree = json.loads(host.profile().to_json())
    spoil(tree)
    with pytest.raises(StateError, match=words):
        parse_profile(json.dumps(tree).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"3", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_of_the_right_form_is_no_profile(content: bytes) -> None:
    with pytest.raises(StateError):
        parse_profile(content)


@given(st.binary(max_size=200))
def test_no_text_at_all_raises_anything_else(content: bytes) -> None:
    with pytest.raises(StateError):
        parse_profile(content)


def test_only_what_came_to_nothing_is_due_again_and_only_after_a_while(host: AgentHost) -> None:
    inconclusive = host.profile(**INCONCLUSIVE)
    assert not inconclusive.is_due(WHEN + RETRY_AFTER - timedelta(seconds=1))
    assert inconclusive.is_due(WHEN + RETRY_AFTER)
    assert inconclusive.is_due(WHEN - timedelta(days=400))
    assert not host.profile(**KEEP).is_due(WHEN + 100 * RETRY_AFTER)
    assert not host.profile().is_due(WHEN + 100 * RETRY_AFTER)

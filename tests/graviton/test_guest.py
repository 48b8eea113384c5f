"""The wire to a machine, with a stand-in for the guest agent at its other end."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.graviton.guest import Finished, Guest, GuestError

Answers = dict[str, list[dict[str, Any]]]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def answer(listener: socket.socket, answers: Answers, asked: list[dict[str, Any]]) -> None:
    """Answers each question with the next thing that is prepared for its command."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as questions:
        for line in questions:
            question = json.loads(line.lstrip(b"\xff"))
            asked.append(question)
            if question["execute"] == "guest-shutdown":
                continue
            if question["execute"] == "guest-sync":
                reply = {"return": question["arguments"]["id"]}
            else:
                reply = answers[question["execute"]].pop(0)
            connection.sendall(json.dumps(reply).encode() + b"\n")


@contextmanager
def guest(folder: Path, answers: Answers, *, listens: bool = True) -> Iterator[tuple[Guest, list[Any]]]:
    asked: list[dict[str, Any]] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "wire"))
        listener.listen()
        thread = threading.Thread(target=answer, args=(listener, answers, asked), daemon=True)
        if listens:
            thread.start()
        made = Guest(folder / "wire")
        try:
            yield made, asked
        finally:
            made.close()
            if listens:
                thread.join()


def test_it_is_up_as_soon_as_it_answers(tmp_path: Path) -> None:
    with guest(tmp_path, {}) as (found, _):
        found.call()
        assert found.has_answered(60.0)


def test_until_then_one_question_waits_for_it(tmp_path: Path) -> None:
    with guest(tmp_path, {}, listens=False) as (found, _):
        found.call()
        assert not found.has_answered(0.01)
        assert not found.has_answered(0.01)


def test_a_command_is_asked_about_until_it_has_ended(tmp_path: Path) -> None:
    ended = {"exited": True, "exitcode": 3, "out-data": encoded("out"), "err-data": encoded("err")}
    answers: Answers = {
        "guest-exec": [{"return": {"pid": 7}}],
        "guest-exec-status": [{"return": {"exited": False}}, {"return": ended}],
    }
    with guest(tmp_path, answers) as (found, asked):
        assert found.run(("id", "-u"), b"in", 60.0) == Finished(3, "out", "err")
    assert asked[0]["arguments"]["arg"][-2:] == ["id", "-u"]
    assert asked[0]["arguments"]["input-data"] == encoded("in")


def test_a_signal_is_told_as_a_shell_tells_it(tmp_path: Path) -> None:
    answers: Answers = {
        "guest-exec": [{"return": {"pid": 7}}],
        "guest-exec-status": [{"return": {"exited": True, "signal": 9}}],
    }
    with guest(tmp_path, answers) as (found, _):
        assert found.run(("sleep", "1"), b"", 60.0).status == 137


def test_a_command_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    answers: Answers = {
        "guest-exec": [{"return": {"pid": 7}}],
        "guest-exec-status": [{"return": {"exited": False}}],
    }
    with guest(tmp_path, answers) as (found, _), pytest.raises(GuestError, match="did not end within 0 s"):
        found.run(("sleep", "1"), b"", 0.0)


def test_it_is_powered_off_without_an_answer(tmp_path: Path) -> None:
    with guest(tmp_path, {}) as (found, asked):
        found.power_off()
    assert asked == [{"execute": "guest-shutdown", "arguments": {"mode": "powerdown"}}]


def test_what_the_agent_refuses_is_said(tmp_path: Path) -> None:
    answers: Answers = {"guest-exec": [{"error": {"desc": "no such program"}}]}
    with guest(tmp_path, answers) as (found, _), pytest.raises(GuestError, match="no such program"):
        found.run(("nothing",), b"", 60.0)

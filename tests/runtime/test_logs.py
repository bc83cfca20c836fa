"""The log is events with fields, and holds no prompt."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from detector.config import Log, load
from detector.runtime.live import Service
from detector.runtime.logs import MOST_CHARS, configure


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_its_fields(stream: io.StringIO) -> None:
    configure(Log(format="json"), stream)
    structlog.get_logger("x").warning("record_dead_lettered", offset=5, reason="invalid_json")
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["offset"], line["reason"]) == (
        "record_dead_lettered",
        "warning",
        5,
        "invalid_json",
    )
    assert line["timestamp"].endswith("Z")


def test_prompt_text_and_secrets_do_not_get_through(stream: io.StringIO) -> None:
    configure(Log(format="json"), stream)
    structlog.get_logger("x").error("oops", prompt_text="secret", raw=b"secret", hash_key="secret", detail="y" * 9_000)
    assert "secret" not in stream.getvalue()
    assert len(lines(stream)[0]["detail"]) == MOST_CHARS + 1


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_a_stranger_chose_makes_no_line_and_no_command_of_a_terminal(stream: io.StringIO, form: str) -> None:
    configure(Log(format=form), stream)
    evil = 'a", "level": "error"\x1b[2J\r\nforged level=error'
    structlog.get_logger("x").warning("dropped", account=evil, why=ValueError(evil), more=[evil])
    logging.getLogger("aiokafka").warning("no record %s", evil)
    assert stream.getvalue().count("\n") == 2
    assert not {"\x1b", "\r"} & set(stream.getvalue())


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_exception_is_logged_without_the_values_of_variables(stream: io.StringIO, form: str) -> None:
    configure(Log(format=form), stream)
    prompt = "-".join("question")  # the traceback may show this line
    try:
        int(prompt and "x")
    except ValueError:
        structlog.get_logger("x").exception("oops")
    assert "ValueError" in stream.getvalue()
    assert prompt not in stream.getvalue()


@pytest.mark.parametrize(("key", "warned"), [("", True), ("0000000000000007", False)])
def test_a_worker_without_a_secret_says_so(key: str, warned: bool) -> None:
    with structlog.testing.capture_logs() as said:
        Service(load(None, {"DETECTOR_STORE_KIND": "memory", "DETECTOR_PRIVACY_HASH_KEY": key}))
    assert ("identifiers_are_hashed_without_a_secret" in [line["event"] for line in said]) == warned


def test_libraries_log_in_the_same_form_and_only_what_matters(stream: io.StringIO) -> None:
    configure(Log(format="json"), stream)
    logging.getLogger("aiokafka.consumer").info("chatter")
    logging.getLogger("aiokafka.consumer").warning("lost %s", "a broker")
    (line,) = lines(stream)
    assert (line["event"], line["message"], line["logger"]) == ("library", "lost a broker", "aiokafka.consumer")


def test_the_level_is_the_configured_one(stream: io.StringIO) -> None:
    configure(Log(level="error", format="json"), stream)
    structlog.get_logger("x").warning("unheard")
    structlog.get_logger("x").error("heard")
    assert [line["event"] for line in lines(stream)] == ["heard"]


def test_an_exception_is_a_field(stream: io.StringIO) -> None:
    configure(Log(format="json"), stream)
    structlog.get_logger("x").error("step_failed", exc_info=ValueError("broken"))
    (line,) = lines(stream)
    assert "ValueError: broken" in line["exception"]


def test_a_person_gets_text(stream: io.StringIO) -> None:
    configure(Log(format="console"), stream)
    structlog.get_logger("x").info("started", port=1)
    assert "started" in stream.getvalue()
    assert "{" not in stream.getvalue()

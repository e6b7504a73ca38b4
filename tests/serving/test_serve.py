"""Listening: a clear refusal when the port is taken, and no 40 ms of Nagle's algorithm on every answer."""

from __future__ import annotations

import socket

import pytest

from ingestion.errors import RetryLater
from serving.serve import _listening


def test_the_listener_names_its_protocol_so_that_answers_are_not_held_back() -> None:
    with _listening("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        assert listener.getsockname()[1] > 0


def test_a_port_that_is_taken_is_refused_with_a_remedy() -> None:
    with _listening("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(RetryLater, match="--port"), _listening("127.0.0.1", first.getsockname()[1]):
            pass

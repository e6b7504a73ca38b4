"""Which context serves now: swapped when another release is in force, the old one closed after its last request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

import structlog

from ingestion.errors import RingfenceError

log = structlog.get_logger("ringfence.context")


class Closable(Protocol):
    """What is held: it belongs to a release and can be closed."""

    @property
    def release_id(self) -> str: ...

    def close(self) -> None: ...


Held = TypeVar("Held", bound=Closable)


class _Counted(Generic[Held]):
    def __init__(self, value: Held) -> None:
        self.value = value
        self.users = 0
        self.is_retired = False


class ContextHolder(Generic[Held]):
    """Holds the context in force; any thread may use it.

    Args:
        first: the context to begin with.
        current_release: id of the release in force, None when there is none.
        reopen: opens the release in force.
    """

    def __init__(self, first: Held, *, current_release: Callable[[], str | None], reopen: Callable[[], Held]) -> None:
        self._held = _Counted(first)
        self._current_release = current_release
        self._reopen = reopen
        self._refused: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def use(self) -> Iterator[Held]:
        """The context in force, kept open for the length of the block."""
        with self._lock:
            counted = self._held
            counted.users += 1
        try:
            yield counted.value
        finally:
            with self._lock:
                counted.users -= 1
                is_last = counted.is_retired and counted.users == 0
            if is_last:
                counted.value.close()

    def refresh(self) -> bool:
        """Open another release if the pointer names one, and swap; False when nothing changed.

        A release that cannot be opened leaves the one before in force; it is not tried again.
        """
        release_id = self._current_release()
        if release_id is None or release_id == self._held.value.release_id or release_id in self._refused:
            return False
        try:
            fresh = _Counted(self._reopen())
        except RingfenceError as error:
            self._refused.add(release_id)
            log.error("context.release_refused", release_id=release_id, what=error.what, remedy=error.remedy)
            return False
        with self._lock:
            old, self._held = self._held, fresh
            old.is_retired = True
            is_unused = old.users == 0
        if is_unused:
            old.value.close()
        log.info("context.release", release_id=fresh.value.release_id)
        return True

    def current_release(self) -> str | None:
        """Id of the release that the workspace points at now."""
        return self._current_release()

    def close(self) -> None:
        """Close the context in force."""
        self._held.value.close()

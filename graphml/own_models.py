"""A model of a user's own: anything with `fit` and `score` takes part in the ladder, the folds, the guards, the report.

    class MyModel:
        def fit(self, view): ...             learn from view.features, view.is_fraud, …
        def score(self, view): return ...    (n,) numbers for view.positions, higher for fraud

`load_own_model` imports a Python file, which runs it, with all rights of the user who calls: only name files that you
would run yourself. Whatever such a file raises, `SystemExit` too, becomes one error that names row, step and line.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from graphml.data_view import DataView
from graphml.errors import GraphmlError
from ingestion.artifacts import short_hash
from ingestion.errors import RingfenceError, UsageError

Doubles = NDArray[np.float64]

#: Sums and squares of larger scores are no numbers any more.
MAX_SCORE = 1e100


class BadScores(GraphmlError):
    """A model's `score` gave something that ranks nothing."""


class OwnModelFailed(GraphmlError):
    """A user's model raised where it was made, fitted or asked for scores."""


class OwnModel(Protocol):
    """What takes part. A fresh one is made for every fit."""

    def fit(self, view: DataView) -> None:
        """Learn from the view's rows; `view.is_fraud` are their outcomes."""
        ...

    def score(self, view: DataView) -> Any:
        """(n,) finite numbers for the view's rows, higher for fraud, each from what came before its row."""
        ...


#: Makes a model from `seed=…` and the keywords of a setting.
Maker = Callable[..., OwnModel]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of an evaluation: its name, how its model is made, and `fingerprint`, which changes with anything that may
    change a score. `space`: values to choose each keyword of `make` from, empty where nothing is to be tuned;
    `setting`: the ones chosen. `edges_shuffled`: it is a control on rewired links. `is_own`: a user's."""

    name: str
    make: Maker
    fingerprint: str
    space: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    setting: Mapping[str, Any] = field(default_factory=dict)
    edges_shuffled: bool = False
    is_own: bool = False

    def model(self, seed: int) -> OwnModel:
        """A fresh model."""
        return self.make(seed=seed, **self.setting)

    def under(self, setting: Mapping[str, Any]) -> Entry:
        """The row under another setting."""
        told = sorted((key, repr(value)) for key, value in setting.items())
        return replace(self, setting=dict(setting), fingerprint=short_hash([self.fingerprint, told]))


def scored(name: str, model: OwnModel, view: DataView) -> Doubles:
    """The model's scores (n,) of a view, checked. Raises `BadScores` naming what is wrong."""
    values = np.asarray(model.score(view))
    wanted = len(view.positions)
    if values.shape != (wanted,) or values.dtype.kind not in "fiub":
        raise BadScores(
            f"{name}: score gave {values.dtype} of shape {values.shape} for {wanted:,} rows.",
            remedy=f"Return one number a row: a numpy array of shape ({wanted},), e.g. predict_proba(x)[:, 1].",
        )
    scores = values.astype(np.float64)
    bad = np.flatnonzero(~(np.abs(scores) <= MAX_SCORE))
    if len(bad):
        what = "not finite" if not np.isfinite(scores[bad[0]]) else f"beyond {MAX_SCORE:g}"
        raise BadScores(
            f"{name}: {len(bad):,} of {wanted:,} scores are {what}, the first of row {bad[0]}: {scores[bad[0]]}.",
            remedy="Give every row a finite number; features may be NaN where there is no history.",
        )
    return scores


def load_own_model(text: str) -> Entry:
    """The entry of `FILE.py:Class`. Runs the file. Raises `UsageError` when it has no such class.

    The class is made without arguments, or with `seed=…` where it takes one; the row is named after the class. A class
    attribute `space`, lists of values by keyword, is what `tuning` may choose from.
    """
    path_text, _, name = text.rpartition(":")
    path = Path(path_text)
    if not path_text or not name.isidentifier() or path.suffix != ".py":
        raise UsageError(f"{text!r} names no model.", remedy="Give a file and a class: my_model.py:MyModel.")
    if not path.is_file():
        raise UsageError(f"{path} is not there.", remedy="Name a Python file that holds the class.")
    content = path.read_bytes()
    kind: Any = getattr(_module(path, content), name, None)
    missing = [word for word in ("fit", "score") if not callable(getattr(kind, word, None))]
    if not isinstance(kind, type) or missing:
        what = "no class" if not isinstance(kind, type) else f"no {' and no '.join(missing)} in"
        raise UsageError(f"{path} has {what} {name}.", remedy="A model is a class with fit(view) and score(view).")
    with _told(name, "__init__", path):
        takes_seed = "seed" in inspect.signature(kind).parameters

    def make(*, seed: int, **setting: Any) -> OwnModel:
        # its own for each fit, of what was read once: no model finds what another one left in a class
        module = _module(path, content)
        maker: Callable[..., Any] = getattr(module, name)
        with _told(name, "__init__", path):
            model = cast(OwnModel, maker(**setting, **({"seed": seed} if takes_seed else {})))
        return _Guarded(name=name, model=model, path=path, module=module)

    digest = hashlib.sha256(content + name.encode()).hexdigest()
    return Entry(name=name, make=make, fingerprint=digest, space=_space(kind, path), is_own=True)


@dataclass(frozen=True, kw_only=True)
class _Guarded:
    """A user's model; what it raises is told as `OwnModelFailed`. Each scoring starts from what `fit` left: whatever a
    scoring keeps, in the model, its class or its file, the next one does not find."""

    name: str
    model: OwnModel
    path: Path
    module: ModuleType

    def fit(self, view: DataView) -> None:
        sys.modules[self.module.__name__] = self.module  # pickles of its classes look it up there
        with _told(self.name, "fit", self.path):
            self.model.fit(view)

    def score(self, view: DataView) -> Any:
        sys.modules[self.module.__name__] = self.module
        with _told(self.name, "score", self.path), _put_back(self.module):
            return np.asarray(self._copied().score(view))

    def _copied(self) -> OwnModel:
        try:
            return copy.deepcopy(self.model)
        except Exception as error:
            raise OwnModelFailed(
                f"{self.name}: the fitted model cannot be copied: {type(error).__name__}: {_text(error)}.",
                remedy="Each scoring is done by a copy, so that none finds what another one kept: keep no locks, open "
                "files or generators in the model.",
            ) from error


@contextmanager
def _put_back(module: ModuleType) -> Iterator[None]:
    """Data of the module and of the classes that it defines are afterwards what they were before, but for callables,
    enumerations, which take no other members, and what cannot be copied."""
    defined = [item for item in vars(module).values() if isinstance(item, type) and item.__module__ == module.__name__]
    holders: list[ModuleType | type] = [module, *(item for item in defined if not issubclass(item, Enum))]
    held = [(holder, _copies(holder)) for holder in holders]
    try:
        yield
    finally:
        for holder, before in held:
            for name in [name for name in _data(holder) if name not in before.names]:
                delattr(holder, name)
            for name, value in before.values.items():
                setattr(holder, name, value)


@dataclass(frozen=True, kw_only=True)
class _Copies:
    """Names of all data of a module or class, and copies of those that can be copied."""

    names: frozenset[str]
    values: Mapping[str, Any]


def _copies(holder: ModuleType | type) -> _Copies:
    found, values = _data(holder), {}
    for name, value in found.items():
        with suppress(Exception):
            values[name] = copy.deepcopy(value)
    return _Copies(names=frozenset(found), values=values)


def _data(holder: ModuleType | type) -> dict[str, Any]:
    """By name, what is neither code nor a module."""
    return {
        name: value
        for name, value in vars(holder).items()
        if not name.startswith("__")
        and not isinstance(value, (ModuleType, type, staticmethod, classmethod))
        and not hasattr(value, "__get__")
        and not callable(value)
    }


@contextmanager
def _told(name: str, step: str, path: Path) -> Iterator[None]:
    """Ctrl-C passes; anything else that code of a user raises becomes `OwnModelFailed`."""
    try:
        yield
    except (OwnModelFailed, KeyboardInterrupt):
        raise
    except BaseException as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if _is_same(frame.filename, path)]
        where = f"{path.name}, line {lines[-1]}" if lines else path.name
        remedy = (
            error.remedy
            if isinstance(error, RingfenceError)
            else "Mend the model; `features` may be NaN, and a window may hold few frauds."
        )
        raise OwnModelFailed(
            f"{name}: {step} raised {type(error).__name__}: {_text(error)} ({where}).", remedy=remedy
        ) from error


def _text(error: BaseException) -> str:
    """What an error says, whatever its class does when asked."""
    try:
        return error.what if isinstance(error, RingfenceError) else str(error)
    except Exception as other:
        return f"(its text cannot be had: {type(other).__name__})"


def _is_same(filename: str, path: Path) -> bool:
    return Path(filename).resolve() == path.resolve()


def _space(kind: type, path: Path) -> Mapping[str, Sequence[Any]]:
    """The class's values to choose from, checked. Raises `UsageError`."""
    space = getattr(kind, "space", {})
    if not isinstance(space, Mapping):
        told = f"is {type(space).__name__}, no dictionary"
    else:
        bad = [key for key, values in space.items() if not _can_be_drawn(values)]
        if not bad:
            return space
        told = f"gives {space[bad[0]]!r} for {bad[0]!r}"
    raise UsageError(
        f"{path}: `space` of {kind.__name__} {told}.",
        remedy='Give each keyword a list of values: space = {"depth": [3, 5, 7]}; a scipy distribution will do too.',
    )


def _can_be_drawn(values: Any) -> bool:
    return hasattr(values, "rvs") or (hasattr(values, "__len__") and not isinstance(values, str) and len(values) > 0)


def _module(path: Path, content: bytes) -> Any:
    """The file, whose `content` was read, as a fresh module; the folder it lies in can be imported from, as when Python
    runs it."""
    spec = importlib.util.spec_from_file_location(f"own_model_{path.stem}", path)
    assert spec is not None and spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles of its classes look it up there
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that nothing of ours is hidden by a file there
    try:
        exec(compile(content, str(path), "exec"), vars(module))  # not what the file holds by now
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UsageError(
            f"{path} cannot be imported: {type(error).__name__}: {_text(error)}",
            remedy="Mend it; run it by itself first.",
        ) from error
    return module

"""Scenarios, read strictly: what is not in the format is refused, so that nothing is passed over."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from runindex.v1 import run_index_pb2 as pb
from tests.clients.conformance.methods import METHODS, items_field
from tests.support.repository import ROOT

FOLDER: Final = ROOT / "clients" / "conformance" / "scenarios"

EXPECTATIONS: Final[Mapping[str, str]] = {"call": "response", "each": "items", "stream": "responses"}
"""What each kind of step expects of a call that succeeds."""

CODES: Final = frozenset(code.name for code in grpc.StatusCode) - {"OK"}
REASONS: Final = frozenset(name.removeprefix("ERROR_REASON_") for name in pb.ErrorReason.keys())  # noqa: SIM118  # No mapping.
KEPT_NAME: Final = re.compile(r"\w+", re.ASCII)
FREE: Final = frozenset({"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"})
"""Messages whose JSON has the members that callers give it."""


class FormatError(Exception):
    """A file that is no scenario."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A call, and what it must come to.

    Attributes:
        place: Its number, from 1.
        kind: `call`, `each` or `stream`.
        name: The method, as `package.Service/Method`.
        method: The same.
        request: JSON, with names of what was kept.
        expects: `error`, or the expectation of its kind.
        expected: JSON, with names of what was kept.
        keep: What to keep of the response: names, and paths into it.
    """

    place: int
    kind: str
    name: str
    method: MethodDescriptor
    request: Mapping[str, Any]
    expects: str
    expected: Any
    keep: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Steps over one store.

    Attributes:
        file: The name of its file.
        about: What it shows, in a sentence.
        steps: At least one.
    """

    file: str
    about: str
    steps: tuple[Step, ...]


def scenario_files() -> list[Path]:
    """Return the files of all scenarios."""
    return sorted(FOLDER.glob("*.json"))


def read(path: Path) -> Scenario:
    """Read a scenario.

    Raises:
        FormatError: The file is none.
    """
    return parse(path.name, path.read_text())


def parse(file: str, text: str) -> Scenario:
    """Read the text of a scenario.

    Raises:
        FormatError: It is none; the message names the file and the step.
    """
    try:
        told = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except ValueError as fault:
        raise FormatError(f"{file}: {fault}") from None
    _require(isinstance(told, Mapping), file, "not an object")
    _check_names(told, {"about", "steps"}, set(), file)
    _require(_is_text(told["about"]), file, "about is not a sentence")
    _require(isinstance(told["steps"], list) and bool(told["steps"]), file, "steps are not a list of some")
    steps = tuple(_step(step, place, f"{file}, step {place}") for place, step in enumerate(told["steps"], 1))
    return Scenario(file=file, about=told["about"], steps=steps)


def _step(told: Any, place: int, where: str) -> Step:
    """Return a step."""
    _require(isinstance(told, Mapping), where, "not an object")
    kinds = [kind for kind in EXPECTATIONS if kind in told]
    _require(len(kinds) == 1, where, f"has {kinds}; exactly one of {list(EXPECTATIONS)} is needed")
    (kind,) = kinds
    possible = (EXPECTATIONS[kind], "error")
    given = [name for name in possible if name in told]
    _require(len(given) == 1, where, f"expects {given}; exactly one of {list(possible)} is needed")
    (expects,) = given
    keepable = {"keep"} if expects == "response" else set()
    _check_names(told, {kind, expects}, {"request", *keepable}, where)
    method = METHODS.get(told[kind]) if isinstance(told[kind], str) else None
    if method is None:
        raise FormatError(f"{where}: there is no method {told[kind]!r}")
    where = f"{where} ({told[kind]})"
    _check_kind(kind, method, where)
    step = Step(
        place=place,
        kind=kind,
        name=told[kind],
        method=method,
        request=_mapping(told.get("request", {}), where, "request"),
        expects=expects,
        expected=told[expects],
        keep=_mapping(told.get("keep", {}), where, "keep"),
    )
    _check_expectation(step, where)
    _check_keep(step, where)
    return step


def _check_kind(kind: str, method: MethodDescriptor, where: str) -> None:
    """Refuse a method that cannot be called so."""
    _require(method.server_streaming == (kind == "stream"), where, f"not for {kind}")
    _require(kind != "each" or items_field(method.output_type) is not None, where, "not a collection")


def _check_expectation(step: Step, where: str) -> None:
    """Refuse an expectation that nothing can meet, or that anything can."""
    expected = step.expected
    if step.expects == "error":
        _check_error(_mapping(expected, where, "error"), where)
    elif step.expects == "response":
        _check_members(_mapping(expected, where, "response"), step.method.output_type, where)
    else:
        _require(isinstance(expected, list), where, f"{step.expects} are not a list")
        items = items_field(step.method.output_type) if step.kind == "each" else None
        message = items.message_type if items else step.method.output_type
        for item in expected:
            _check_members(_mapping(item, where, f"an item of {step.expects}"), message, where)


def _check_error(expected: Mapping[str, Any], where: str) -> None:
    _check_names(expected, {"code"}, {"reason", "metadata"}, f"{where}: error")
    _require(expected["code"] in CODES, where, f"{expected['code']!r} is no code of an error")
    _require(
        expected.get("reason", "INTERNAL_ERROR") in REASONS, where, f"{expected.get('reason')!r} is no reason"
    )
    metadata = _mapping(expected.get("metadata", {}), where, "error.metadata")
    _require(all(isinstance(value, str) for value in metadata.values()), where, "metadata are not strings")


def _check_members(expected: Any, message: Descriptor, where: str) -> None:
    """Refuse members that the message has not: to expect that one is absent would always hold."""
    if message.full_name in FREE or not isinstance(expected, Mapping):
        return
    fields = {field.json_name: field for field in message.fields}
    _check_names(expected, set(), fields.keys(), f"{where}: {message.name}")
    for name, value in expected.items():
        inner = fields[name].message_type
        if inner is not None:
            for one in value if isinstance(value, list) else [value]:
                _check_members(one, inner, where)


def _check_keep(step: Step, where: str) -> None:
    for name, path in step.keep.items():
        _require(bool(KEPT_NAME.fullmatch(name)), where, f"{name!r} is no name to keep something under")
        _require(_is_text(path), where, f"{path!r} is no path")


def _check_names(told: Mapping[str, Any], needed: set[str], free: Iterable[str], where: str) -> None:
    missing, unknown = needed - told.keys(), told.keys() - needed - set(free)
    _require(not missing, where, f"{sorted(missing)} missing")
    _require(not unknown, where, f"{sorted(unknown)} unknown")


def _mapping(value: Any, where: str, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise FormatError(f"{where}: {name} is not an object")
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _require(holds: bool, where: str, problem: str) -> None:  # noqa: FBT001  # Reads as an assertion.
    if not holds:
        raise FormatError(f"{where}: {problem}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object, unless two of its members have one name."""
    told = dict(pairs)
    if len(told) < len(pairs):
        msg = f"a member twice in {[name for name, _ in pairs]}"
        raise ValueError(msg)
    return told


def _refuse_constant(name: str) -> None:
    msg = f"{name} is not JSON"
    raise ValueError(msg)

"""What a verb of `ctl` is: its words, the request that it makes, and how its answer is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.cli.ctl_call import Gateway

Body = Callable[[Gateway, Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a verb; names that begin with -- are options.

    `kind` is int, str or bool. A `secret` is read from the file that it names, or asked for, and
    is kept under its name without "_file".
    """

    name: str
    help: str = ""
    kind: type = str
    optional: bool = False
    many: bool = False
    choices: tuple[str, ...] = ()
    secret: bool = False

    @property
    def key(self) -> str:
        """Return the name under which its value is kept."""
        return self.name.lstrip("-").replace("-", "_")


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing to do: the request it makes, and the columns of its answer.

    `rows` is where a list lies in the answer; what stands under `sound` must be true, or the exit
    code tells that it is not.
    """

    noun: str
    name: str
    help: str
    method: str
    path: str
    arguments: tuple[Argument, ...] = ()
    body: Body | None = None
    columns: tuple[str, ...] = ()
    needs_token: bool = True
    query: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    binary: bool = False
    rows: str = "items"
    sound: str = ""


def number(name: str, words: str = "") -> Argument:
    """Return the argument that names an object by its id."""
    return Argument(name, words or f"id of the {name}", int)


def given(*names: str) -> Body:
    """Return a body of the arguments of these names that were given."""

    def body(_: Gateway, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: values[name] for name in names if values.get(name) is not None}

    return body


def switch(
    noun: str, path: str, argument: Argument, names: tuple[str, str], key: str, words: str
) -> tuple[Verb, Verb]:
    """Return the two verbs that switch something on and off."""
    on, off = names
    return (
        Verb(noun, on, f"{on} {words}", "PUT", path, (argument,), fixed={key: True}),
        Verb(noun, off, f"{off} {words}", "PUT", path, (argument,), fixed={key: False}),
    )

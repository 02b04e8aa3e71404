"""`softnet-gateway ctl`: manages the running gateway through its API."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.cli.ctl_call import (
    DEFAULT_URL,
    EXIT_REFUSED,
    EXIT_USAGE,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    CtlFault,
    Gateway,
    find_token,
    read_secret,
)
from gateway.cli.ctl_verbs import VERBS
from gateway.cli.ctl_words import Argument, Verb

CODE_FILES = ("var/setup-code", "/var/lib/softnet-gateway/setup-code")
"""Where the daemon leaves the setup code, beside its token."""
TIMES = frozenset({"last_login_at", "at", "since", "created_at", "expires_at", "last_used_at"})
NAMES = ("name", "hostname", "user", "site", "description", "key")
"""What an object inside a list is told by; the first that it has."""


def main(arguments: Sequence[str]) -> int:
    """Run one verb; return 0, 1 refused, 2 usage, 3 no gateway, 4 not allowed, 5 not there."""
    options = _parser().parse_args(list(arguments))
    verb: Verb = options.verb_of
    try:
        values = _values(verb, options)
        gateway = Gateway(options.url, find_token(options.token_file) if verb.needs_token else "")
        answer = _perform(verb, gateway, values)
        _show(verb, answer, values, as_json=options.json)
        if verb.sound and not answer.get(verb.sound):
            return EXIT_REFUSED
    except CtlFault as fault:
        print(f"softnet-gateway ctl: {fault}", file=sys.stderr)
        return fault.code
    return 0


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="answer in JSON")
    shared.add_argument(
        "--url",
        default=os.environ.get(URL_VARIABLE, DEFAULT_URL),
        help=f"where the gateway's page is (default {DEFAULT_URL})",
    )
    shared.add_argument("--token-file", metavar="FILE", help="file with a token of the gateway")
    parser = argparse.ArgumentParser(
        prog="softnet-gateway ctl",
        description=__doc__,
        epilog="Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no gateway answers, "
        "4 not allowed, 5 not there.",
    )
    nouns = parser.add_subparsers(dest="noun", required=True, metavar="NOUN")
    parsers: dict[str, Any] = {}
    for verb in VERBS:
        if verb.noun not in parsers:
            of_noun = nouns.add_parser(verb.noun, help=_verbs_of(verb.noun))
            parsers[verb.noun] = of_noun.add_subparsers(dest="verb", required=True, metavar="VERB")
        of_verb = parsers[verb.noun].add_parser(verb.name, help=verb.help, parents=[shared])
        of_verb.set_defaults(verb_of=verb)
        for argument in verb.arguments:
            _add(of_verb, argument)
    return parser


def _verbs_of(noun: str) -> str:
    return ", ".join(verb.name for verb in VERBS if verb.noun == noun)


def _add(parser: argparse.ArgumentParser, argument: Argument) -> None:
    more: dict[str, Any] = {"help": argument.help}
    if argument.choices:
        more["choices"] = argument.choices
    if argument.kind is bool:
        parser.add_argument(argument.name, action="store_true", **more)
        return
    if argument.many:
        more["nargs"] = "*"
    elif argument.optional:
        more["nargs"] = "?"
    if argument.name.startswith("--"):
        more["metavar"] = "FILE" if argument.secret else None
    parser.add_argument(argument.name, type=argument.kind, **more)


def _values(verb: Verb, options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments, with each secret in the place of its file."""
    values = {argument.key: getattr(options, argument.key) for argument in verb.arguments}
    if verb.name == "claim" and not values["code"]:
        values["code"] = _setup_code(options.token_file)
    for argument in verb.arguments:
        if argument.secret:
            file, name = values.pop(argument.key), argument.key.removesuffix("_file")
            # A camera without a user name asks for no login.
            wants = verb.noun != "camera" or bool(values.get("user"))
            values[name] = read_secret(file, name.capitalize()) if wants else None
    if verb.noun == "token" and verb.name == "add" and values["scope"] is None:
        values["scope"] = "read"
    return values


def _setup_code(token_file: str | None) -> str:
    """Return the code that lies beside the token. Raises CtlFault when there is none."""
    token_file = token_file or os.environ.get(TOKEN_VARIABLE)
    beside = (str(Path(token_file).with_name("setup-code")),) if token_file else CODE_FILES
    for name in beside:
        try:
            return Path(name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
    raise CtlFault("Give the setup code with --code; it is on the label and console.", EXIT_USAGE)


def _perform(verb: Verb, gateway: Gateway, values: Mapping[str, Any]) -> Any:
    path = verb.path.format_map(values)
    if verb.method == "GET":
        return gateway.ask(path, **{name: values.get(name) for name in verb.query})
    body = dict(verb.fixed)
    if verb.body is not None:
        body |= verb.body(gateway, values)
    return gateway.tell(verb.method, path, body)


def _show(verb: Verb, answer: Any, values: Mapping[str, Any], *, as_json: bool) -> None:
    if verb.binary:
        _write(answer, values.get("output"))
    elif as_json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    elif isinstance(answer, dict) and verb.rows in answer:
        for word in answer.get("hindrances", ()):
            print(f"! {word}")
        _table(verb.columns, answer[verb.rows])
    elif verb.columns and isinstance(answer, dict):
        _facts(verb.columns, answer)
    else:
        print("Done.")


def _write(octets: bytes, output: str | None) -> None:
    if output is None:
        sys.stdout.buffer.write(octets)
        return
    try:
        Path(output).write_bytes(octets)
    except OSError as error:
        raise CtlFault(f"{output} cannot be written: {error.strerror}.") from None
    print(f"{len(octets)} octets written to {output}.")


def _facts(columns: tuple[str, ...], item: Mapping[str, Any]) -> None:
    width = max(len(_heading(column)) for column in columns)
    for column in columns:
        print(f"{_heading(column):<{width}}  {_cell(item, column)}")


def _table(columns: tuple[str, ...], items: Sequence[Mapping[str, Any]]) -> None:
    if not items:
        print("Nothing.")
        return
    rows = [[_heading(column) for column in columns]]
    rows += [[_cell(item, column) for column in columns] for item in items]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())


def _heading(column: str) -> str:
    return column.rpartition(".")[2].removesuffix("_id" if column != "device_id" else "").upper()


def _cell(item: Mapping[str, Any], column: str) -> str:
    value: Any = item
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None or value == "":
        return "-"
    if column in TIMES:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_printable(_named(one)) for one in value) or "-"
    return _printable(str(value))


def _named(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(next((value[name] for name in NAMES if value.get(name)), value.get("id", "?")))
    return str(value)


def _printable(text: str) -> str:
    # What a device or a user is called must not command the terminal.
    return "".join(char if char.isprintable() else "?" for char in text)

"""Options as keyword arguments, and as the library takes them."""

from __future__ import annotations

import os
import re
from typing import Any, Mapping

from ._errors import UsageError

_PLAIN = re.compile(r"[^\s,\"]+\Z")
_FROM_ENVIRONMENT = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


def from_environment(options: Mapping[str, Any]) -> dict[str, Any]:
    """Fill ``${env:NAME}`` in texts from the environment of this process.

    For options that go to other machines: what is secret is looked up where it is used.

    Raises
    ------
    UsageError
        A variable is not set here.
    """
    return {
        key: _filled(key, value) if isinstance(value, str) else value
        for key, value in options.items()
    }


def _filled(key: str, text: str) -> str:
    def value_of(found: re.Match[str]) -> str:
        value = os.environ.get(found[1])
        if value is None:
            raise UsageError(
                f"{key}: the environment variable {found[1]} is not set on this machine "
                f"({os.uname().nodename})"
            )
        return value

    return _FROM_ENVIRONMENT.sub(value_of, text)


def option_pairs(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Keys and texts of options; those that are None are left out."""
    pairs: list[tuple[str, str]] = []
    for key, value in options.items():
        if value is None:
            continue
        if isinstance(value, Mapping):
            pairs += [(f"{key}.{name}", _text(key, entry)) for name, entry in value.items()]
        elif isinstance(value, (list, tuple)):
            pairs.append((key, ", ".join(_quoted(_text(key, part)) for part in value)))
        else:
            pairs.append((key, _text(key, value)))
    return pairs


def _text(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise UsageError(f"{key}: an option is a text, a number, a bool, a list or a dict of these")


def _quoted(name: str) -> str:
    return name if _PLAIN.match(name) else '"' + name.replace('"', '""') + '"'

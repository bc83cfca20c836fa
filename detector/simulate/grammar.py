"""A small grammar whose text is a pure function of two numbers: what is fixed, and what is filled in.

    rules    {"ASK": "Explain {topic} to {who}|What is {topic}?", "topic": "tides|inflation|…", …}

    UPPER CASE names are *structure*: the alternative is chosen by the first number (the template)
    lower case names are *slots*: the alternative is chosen by the second number (the request)
    {12-99}   is a number in that range, {#6} six hexadecimal digits: slots too

So one template number with many request numbers is a scaffold with its slots filled; one pair of
numbers used twice is the same text twice (a copied prompt, a repeated question); and `rewrite`
says how much of the structure each request chooses anew, from 0 (a fixed scaffold) to 1 (every
request phrased afresh). Slots are skewed (the square of a uniform number picks the word), because
people's words are: a few subjects are asked about by everybody, most by hardly anybody.

Literals are JSON-escaped when the rules are compiled, so an expansion is a valid JSON string body
without another pass over it. A linear congruential generator is enough here and is what keeps an
expansion of thirty nodes at a few microseconds; its seeds must be well mixed (`mixed64`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

MASK64: Final = (1 << 64) - 1
_MULTIPLIER: Final = 6364136223846793005
_INCREMENT: Final = 1442695040888963407
_TOKEN: Final = re.compile(r"\{([A-Za-z_0-9]+|\d+-\d+|#\d+)\}")

STRUCTURE, SLOT, NUMBER, HEX = range(4)

Node = Any  # str | tuple[int, Any, int]: (kind, alternatives or first number, how many)


def mixed64(number: int) -> int:
    """Return `number` with its bits well mixed (the SplitMix64 finaliser), in [0, 2**64)."""
    number = (number + 0x9E3779B97F4A7C15) & MASK64
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & MASK64
    return number ^ (number >> 31)


class Grammar:
    """Compiled rules; a rule that names an unknown rule is an error at once (KeyError)."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self._rules = rules
        self._compiled = cache(self._compile_rule)
        for name in rules:
            self._compiled(name)

    def text(self, rule: str, template: int, request: int, rewrite: float = 0.0) -> str:
        """Return the JSON-escaped text of `rule` for a template number and a request number.

        `rewrite` is the probability that a structural choice is made by the request instead.
        """
        out: list[str] = []
        state = [template & MASK64, request & MASK64]
        _expand((self._compiled(rule),), state, int(rewrite * (1 << 20)), out)
        return "".join(out)

    def _compile_rule(self, name: str) -> Node:
        alternatives = [self._compile_text(part) for part in self._rules[name].split("|")]
        return (STRUCTURE if name.isupper() else SLOT, alternatives, len(alternatives))

    def _compile_text(self, text: str) -> Node:
        parts: list[Node] = []
        for position, piece in enumerate(_TOKEN.split(text)):
            if position % 2 == 0:
                if piece:
                    parts.append(json.dumps(piece, ensure_ascii=False)[1:-1])
            elif piece[0] == "#":
                parts.append((HEX, int(piece[1:]), 0))
            elif "-" in piece:
                low, high = map(int, piece.split("-"))
                parts.append((NUMBER, low, high - low + 1))
            else:
                parts.append(self._compiled(piece))
        return parts[0] if len(parts) == 1 and isinstance(parts[0], str) else tuple(parts)


def _expand(parts: tuple[Node, ...], state: list[int], rewrite: int, out: list[str]) -> None:
    for part in parts:
        if part.__class__ is str:
            out.append(part)
            continue
        kind, choices, count = part
        if kind == STRUCTURE:
            drawn = state[0] = (state[0] * _MULTIPLIER + _INCREMENT) & MASK64
            if rewrite:
                own = state[1] = (state[1] * _MULTIPLIER + _INCREMENT) & MASK64
                if own >> 44 < rewrite:
                    drawn = mixed64(own)
            chosen = choices[((drawn >> 33) * count) >> 31]
        else:
            drawn = state[1] = (state[1] * _MULTIPLIER + _INCREMENT) & MASK64
            if kind == NUMBER:
                out.append(str(choices + (((drawn >> 33) * count) >> 31)))
                continue
            if kind == HEX:
                out.append(f"{mixed64(drawn) >> (64 - 4 * choices):0{choices}x}")
                continue
            uniform = drawn >> 33
            chosen = choices[(((uniform * uniform) >> 31) * count) >> 31]
        if chosen.__class__ is str:
            out.append(chosen)
        else:
            _expand(chosen, state, rewrite, out)

"""Who writes what: one function per kind of author, from (key, seed, turn) to a JSON-escaped text.

`key` is what the author holds on to (a tool, a customer's template, an assignment, or the session
of a person), `seed` is the single request, `turn` counts the requests of the session from 0.
With real prompt collections (`Collections`) the texts of people, batch customers and harvesters are
drawn from those instead; what remains grammar then is what no collection holds (follow-ups, tool
results, assignments).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from detector.simulate.benign_texts import BENIGN_RULES
from detector.simulate.grammar import Grammar, mixed64
from detector.simulate.harvest_texts import HARVEST_RULES, SUFFIXES

Writer = Callable[[int, int, int], str]

CHAT, CODE_CHAT, AGENT, TOOL, BUSINESS, STUDENT, CURIOUS, BENCHMARK, MANY, REVIEW, SYNTHETIC, HACKER = range(12)
SILENT: Final = -1  # no prompt text: embeddings, or a route that does not log it

POPULAR_QUESTIONS: Final = 4000
PUBLISHED_PROMPTS: Final = 600
_FRACTION: Final = 1.0 / (1 << 64)


@dataclass(frozen=True, slots=True)
class Collections:
    """Real prompts, JSON-escaped: by source name, and for sources with templates by template."""

    benign: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    harvest: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@cache
def benign_grammar() -> Grammar:
    """Return the compiled benign grammar."""
    return Grammar(BENIGN_RULES)


@cache
def harvest_grammar() -> Grammar:
    """Return the compiled grammar of harvests (which holds the benign one)."""
    return Grammar(HARVEST_RULES)


def zipf_rank(number: int, count: int) -> int:
    """Return a rank in [0, count) that falls off as 1/rank, from a well-mixed 64-bit number."""
    return min(int(count ** (number * _FRACTION)) - 1, count - 1) if number else 0


def benign_writers(real: Collections | None) -> list[Writer]:
    """Return the writers of benign traffic, in the order of the constants above."""
    text = benign_grammar().text
    human = _pool(real, "benign", batch=False)
    batches = _groups(real)

    def chat(key: int, seed: int, turn: int) -> str:
        """People: a popular question verbatim, a published prompt, code, another language, or something of their own."""
        if turn:
            return text("FOLLOW", seed, mixed64(seed)) if seed % 8 else text("ASK", seed, mixed64(seed))
        mood = mixed64(key) % 100
        if human and mood < 60:
            return human[zipf_rank(seed << 1, len(human)) if mood < 25 else seed % len(human)]
        if mood < 12:
            rank = zipf_rank(mixed64(key + 1), POPULAR_QUESTIONS)
            return text("ASK", mixed64(rank), mixed64(rank + 77))
        if mood < 17:
            rank = zipf_rank(mixed64(key + 2), PUBLISHED_PROMPTS)
            return text("PUBLISHED", mixed64(rank), mixed64(rank) if seed % 10 < 7 else seed)
        if mood < 27:
            return text("FOREIGN", key, seed)
        return text("CODEASK" if mood < 40 else "ASK", key, seed)

    def code_chat(key: int, seed: int, turn: int) -> str:
        """A developer who asks in a chat window."""
        if turn:
            return text("CODEFOLLOW", seed, mixed64(seed))
        return text("CODEASK" if mixed64(key) % 10 else "ASK", key, seed)

    def agent(key: int, seed: int, turn: int) -> str:
        """A harness: the task first, then what the tools gave back; now and then the user speaks."""
        return text("TOOLRESULT" if turn and seed % 12 else "AGENTTASK", seed, mixed64(seed))

    def tool(key: int, seed: int, turn: int) -> str:
        """A tool's own prompt around what the user selected."""
        return text("TOOL", key, seed) if turn == 0 else text("FOLLOW", seed, mixed64(seed))

    def business(key: int, seed: int, turn: int) -> str:
        """An API customer's template around its data."""
        if batches:
            rows = batches[key % len(batches)]
            return rows[seed % len(rows)]
        return text("BUSINESS", key, seed)

    def student(key: int, seed: int, turn: int) -> str:
        """The assignment, pasted or reworded a little, then the usual follow-ups."""
        return text("STUDENT", key, seed, 0.12) if turn == 0 else text("FOLLOW", seed, mixed64(seed))

    def curious(key: int, seed: int, turn: int) -> str:
        """What everybody asks a new model."""
        return text("CURIOUS", seed, mixed64(seed)) if turn < 3 else text("FOLLOW", seed, mixed64(seed))

    def benchmark(key: int, seed: int, turn: int) -> str:
        """Item `turn` of public benchmark `key`, the same text for whoever runs it."""
        return text("BENCHMARK", key, mixed64(key * 1_000_003 + turn))

    def many(key: int, seed: int, turn: int) -> str:
        """Thousands of end users behind one account: everything there is."""
        kind = mixed64(key + 5) % 10
        if kind < 6:
            return chat(key, seed, turn)
        return code_chat(key, seed, turn) if kind < 8 else tool(mixed64(zipf_rank(mixed64(key + 6), 40)), seed, turn)

    def review(key: int, seed: int, turn: int) -> str:
        """A review bot in somebody's build pipeline."""
        return text("GITDIFFJOB", key, seed)

    def synthetic(key: int, seed: int, turn: int) -> str:
        """Licensed synthetic data: worded exactly as harvests are."""
        return harvest_grammar().text("H_generation" if key % 3 else "H_reasoning", key, seed)

    def hacker(key: int, seed: int, turn: int) -> str:
        """A hackathon team on the sponsor's starter kit (its prompt is `key`), then its own code."""
        return text("TOOL", key, seed) if seed % 10 < 4 else code_chat(seed, mixed64(seed), turn)

    return [chat, code_chat, agent, tool, business, student, curious, benchmark, many, review, synthetic, hacker]


def scaffold(family: str, templates: int, rewrite: float, salt: int, real: Collections | None) -> Writer:
    """Return the writer of a scaffolded harvest: `templates` templates, used with Zipf-free evenness."""
    text = harvest_grammar().text
    rule = f"H_{family}"
    pool = _pool(real, "harvest", batch=False)

    def write(key: int, seed: int, turn: int) -> str:
        """The item is `key`; its template is one of the few."""
        if pool:
            return pool[mixed64(key) % len(pool)]
        return text(rule, mixed64(salt + mixed64(key) % templates), key, rewrite)

    return write


def naked(salt: int, suffix: int, real: Collections | None) -> Writer:
    """Return the writer of a naked harvest: work-list item `key`, asked bare, with a short suffix or none."""
    text = harvest_grammar().text
    ending = SUFFIXES[suffix]
    pool = tuple(
        row for name, rows in sorted((real.harvest if real else {}).items()) if "naked" in name for row in rows
    )

    def write(key: int, seed: int, turn: int) -> str:
        """The question alone."""
        if pool:
            return pool[key % len(pool)] + ending
        return text("NAKED", mixed64(key + salt), mixed64(key ^ salt)) + ending

    return write


def _pool(real: Collections | None, side: str, *, batch: bool) -> tuple[str, ...]:
    if real is None:
        return ()
    sources = real.benign if side == "benign" else real.harvest
    return tuple(
        row for name, rows in sorted(sources.items()) if (":" in name) == batch and "naked" not in name for row in rows
    )


def _groups(real: Collections | None) -> list[tuple[str, ...]]:
    """Sources with templates are named "file:template"."""
    return [rows for name, rows in sorted((real.benign if real else {}).items()) if ":" in name]

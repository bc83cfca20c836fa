"""Who writes what: one function per kind of author, from (key, seed, turn) to a JSON-escaped text.

`key` is what the author holds on to (a tool, a customer's template, an assignment, or the session
of a person), `seed` is the single request, `turn` counts the requests of the session from 0.
With real prompt collections (`prompts`) the first requests of people, and those of batch customers and
harvesters, are drawn from those instead; what no collection holds is still written here.
"""

from __future__ import annotations

from collections.abc import Callable
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


class BenignWriters:
    """The authors of benign traffic; `all` gives them in the order of the constants above."""

    def __init__(self) -> None:
        self._text = benign_grammar().text

    def all(self) -> list[Writer]:
        """Return one writer per constant, CHAT first."""
        return [
            self.chat,
            self.code_chat,
            self.agent,
            self.tool,
            self.business,
            self.student,
            self.curious,
            self.benchmark,
            self.many,
            self.review,
            self.synthetic,
            self.hacker,
        ]

    def chat(self, key: int, seed: int, turn: int) -> str:
        """People: a popular question, a published prompt, code, another language, or something of their own."""
        text = self._text
        if turn:
            return text("FOLLOW" if seed % 3 else "OWNASK", seed, mixed64(seed))
        mood = mixed64(key) % 100
        if mood < 12:
            rank = zipf_rank(mixed64(key + 1), POPULAR_QUESTIONS)
            return text("ASK", mixed64(rank), mixed64(rank + 77))
        if mood < 17:
            rank = zipf_rank(mixed64(key + 2), PUBLISHED_PROMPTS)
            return text("PUBLISHED", mixed64(rank), mixed64(rank) if seed % 10 < 7 else seed)
        if mood < 27:
            return text("FOREIGN", key, seed)
        return text("OWNCODE" if mood < 40 else "OWNASK", key, seed)

    def code_chat(self, key: int, seed: int, turn: int) -> str:
        """A developer who asks in a chat window."""
        if turn:
            return self._text("CODEFOLLOW" if seed % 3 else "OWNCODE", seed, mixed64(seed))
        return self._text("OWNCODE" if mixed64(key) % 10 else "OWNASK", key, seed)

    def agent(self, _key: int, seed: int, turn: int) -> str:
        """A harness: the task first, then what the tools gave back; now and then the user speaks."""
        return self._text("TOOLRESULT" if turn and seed % 12 else "AGENTTASK", seed, mixed64(seed))

    def tool(self, key: int, seed: int, turn: int) -> str:
        """A tool's own prompt around what the user selected."""
        return self._text("TOOL", key, seed) if turn == 0 else self._text("FOLLOW", seed, mixed64(seed))

    def business(self, key: int, seed: int, _turn: int) -> str:
        """An API customer's template around its data."""
        return self._text("BUSINESS", key, seed)

    def student(self, key: int, seed: int, turn: int) -> str:
        """The assignment, pasted or reworded a little, then the usual follow-ups."""
        return self._text("student", key, seed, 0.06) if turn == 0 else self._text("FOLLOW", seed, mixed64(seed))

    def curious(self, _key: int, seed: int, turn: int) -> str:
        """What everybody asks a new model."""
        return self._text("CURIOUS" if turn < 3 else "FOLLOW", seed, mixed64(seed))

    def benchmark(self, key: int, _seed: int, turn: int) -> str:
        """Item `turn` of public benchmark `key`, the same text for whoever runs it."""
        return self._text("BENCHMARK", key, mixed64(key * 1_000_003 + turn))

    def many(self, key: int, seed: int, turn: int) -> str:
        """Thousands of end users behind one account: everything there is."""
        kind = mixed64(key + 5) % 10
        if kind < 6:
            return self.chat(key, seed, turn)
        if kind < 8:
            return self.code_chat(key, seed, turn)
        return self.tool(mixed64(zipf_rank(mixed64(key + 6), 40)), seed, turn)

    def review(self, key: int, seed: int, _turn: int) -> str:
        """A review bot in somebody's build pipeline."""
        return self._text("GITDIFFJOB", key, seed)

    def synthetic(self, key: int, seed: int, _turn: int) -> str:
        """Licensed synthetic data: worded exactly as harvests are."""
        return harvest_grammar().text("H_generation" if key % 3 else "H_reasoning", key, seed)

    def hacker(self, key: int, seed: int, turn: int) -> str:
        """A hackathon team on the sponsor's starter kit (its prompt is `key`), then its own code."""
        return self._text("TOOL", key, seed) if seed % 10 < 4 else self.code_chat(seed, mixed64(seed), turn)


def scaffold(family: str, templates: int, rewrite: float, salt: int) -> Writer:
    """Return the writer of a scaffolded harvest: the work item is `key`, its template one of `templates`."""
    text = harvest_grammar().text
    rule = f"H_{family}"

    def write(key: int, _seed: int, _turn: int) -> str:
        return text(rule, mixed64(salt + mixed64(key) % templates), key, rewrite)

    return write


def naked(salt: int, suffix: int) -> Writer:
    """Return the writer of a naked harvest: work-list item `key`, asked bare, with a short suffix or none."""
    text = harvest_grammar().text
    ending = SUFFIXES[suffix]

    def write(key: int, _seed: int, _turn: int) -> str:
        """The question alone."""
        return text("NAKED", mixed64(key + salt), mixed64(key ^ salt)) + ending

    return write

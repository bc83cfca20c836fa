"""Measure likeness: speed, which columns tie which prompts together, and what survives a paraphrase.

    python -m tests.bench.likeness [--prompts DIR]

DIR holds extracts of public prompts, one `.jsonl.gz` of `{"text": ...}` per source; without it that table is left
out. "Tied" is the share of prompts that have a column's value in common with at least GROUP - 1 others.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from detector.event import LABELS
from detector.likeness import decode, encode, sketch
from tests.bench.train_labels import SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from detector.event import U64, Mask, Sketches

KEY: Final = 7
GROUP: Final = 5
COLUMNS: Final = ("text", "template", "head", "tail", "fragments", "skeleton")

# Scaffolds as sentences; those with "- " are items of a list. Written for this file.
SCAFFOLDS: Final[dict[str, tuple[str, ...]]] = {
    "solve": ("You are an expert in mathematics.", "Solve the following problem carefully.",
              "Show every important step of the solution.", "Put the final answer in a box at the end.", "{q}"),
    "grade": ("You are an impartial judge of answers.", "Evaluate the quality of the response below.",
              "- Consider whether the answer is correct and complete.", "- Ignore the length of the answer.",
              "Question: {q}", "Answer: {a}", "Give a short explanation and then a score from 1 to 10."),
    "make data": ("Create a list of diverse questions about the subject {t}.", "Each question should be difficult.",
                  "- Do not repeat the same verb.", "- Provide a complete answer for every question.",
                  "Return the result as a JSON array."),
    "function": ("Write a Python function for the task below.", "Task: {t}.", "Include helpful comments in the code.",
                 "Handle errors and unusual inputs.", "Return only the code without explanation."),
    "trace": ("Here is a question and its finished answer.", "{q}", "{a}",
              "Write down the complete internal reasoning behind the answer.", "Keep all of the doubts and checks."),
    "agent": ("You are an autonomous agent with access to tools.", "- search looks for documents.",
              "- run executes a command in the terminal.", "Decide which tool to call next for the goal below.",
              "Goal: {t}.", "Return the call with its arguments as JSON."),
}  # fmt: skip
SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "expert": ("specialist", "authority"), "solve": ("work out", "resolve"), "following": ("given", "next"),
    "problem": ("exercise", "question"), "carefully": ("with care", "thoroughly"), "show": ("present", "write out"),
    "every": ("each", "any"), "important": ("relevant", "key"), "step": ("stage", "part"),
    "final": ("last", "ultimate"),
    "put": ("place", "write"), "end": ("bottom", "close"), "impartial": ("fair", "neutral"),
    "judge": ("referee", "grader"),
    "evaluate": ("assess", "rate"), "quality": ("merit", "standard"), "response": ("reply", "output"),
    "below": ("that follows", "underneath"), "consider": ("think about", "weigh"), "correct": ("right", "accurate"),
    "complete": ("full", "entire"), "ignore": ("disregard", "do not count"), "length": ("size", "extent"),
    "give": ("provide", "offer"), "short": ("brief", "concise"), "explanation": ("justification", "rationale"),
    "score": ("mark", "rating"), "create": ("generate", "produce"), "diverse": ("varied", "different"),
    "questions": ("queries", "problems"), "subject": ("topic", "theme"), "difficult": ("hard", "challenging"),
    "repeat": ("reuse", "use twice"), "same": ("identical", "very"), "provide": ("give", "supply"),
    "return": ("output", "give back"), "result": ("outcome", "whole"), "write": ("create", "implement"),
    "function": ("method", "routine"), "task": ("job", "assignment"), "include": ("add", "put"),
    "helpful": ("useful", "clear"), "comments": ("remarks", "notes"), "handle": ("deal with", "treat"),
    "unusual": ("odd", "strange"), "finished": ("final", "ready"), "internal": ("inner", "hidden"),
    "reasoning": ("thinking", "thought process"),
    "behind": ("that led to", "underlying"), "keep": ("retain", "leave in"),
    "doubts": ("hesitations", "uncertainties"), "autonomous": ("independent", "self-directed"),
    "tools": ("functions", "instruments"),
    "decide": ("choose", "determine"), "goal": ("objective", "aim"), "without": ("with no", "minus"),
}  # fmt: skip


def fill(sentence: str, rng: np.random.Generator) -> str:
    for name, slot in (("{q}", "q"), ("{a}", "a"), ("{t}", "topic")):
        if name in sentence:
            words = rng.permutation(" ".join(SLOTS[slot]).split())[: rng.integers(6, 14)]
            sentence = sentence.replace(name, " ".join(words))
    return sentence


def laid_out(sentences: list[str]) -> str:
    return re.sub(r" (- )", r"\n\1", " ".join(sentences))


def synonyms(sentences: list[str], rng: np.random.Generator) -> list[str]:
    def swap(match: re.Match[str]) -> str:
        choices = SYNONYMS.get(match[0].lower())
        if choices is None or rng.random() < 0.4:
            return match[0]
        return str(rng.choice(choices))

    return [re.sub(r"[A-Za-z]+", swap, s) for s in sentences]


def reordered(sentences: list[str], rng: np.random.Generator) -> list[str]:
    return [sentences[i] for i in rng.permutation(len(sentences))]


def reformatted(sentences: list[str], rng: np.random.Generator) -> str:
    plain = [s.removeprefix("- ") for s in sentences]
    style = rng.integers(5)
    if style == 0:
        return "\n".join(f"{i}. {s}" for i, s in enumerate(plain, 1))
    if style == 1:
        return "\n".join(f"* {s}" for s in plain)
    if style == 2:
        return f"# Instructions\n\n{plain[0]}\n\n## Details\n\n" + "\n".join(plain[1:])
    if style == 3:
        return " ".join(plain).lower()
    return "\n\n".join(plain)


def preamble(text: str, rng: np.random.Generator) -> str:
    before = ("Hi! ", "Hello, I need some help with this. ", "Please be so kind. ", "Listen carefully now. ", "Okay. ")
    after = ("", " Thanks!", " Thank you very much in advance.", "\nPlease.", " I am counting on you.")
    return f"{rng.choice(before)}{text}{rng.choice(after)}"


LEVELS: Final[dict[str, Callable[[list[str], np.random.Generator], str]]] = {
    "other slots only": lambda s, _: laid_out(s),
    "greeting, thanks": lambda s, rng: preamble(laid_out(s), rng),
    "other layout": reformatted,
    "sentences reordered": lambda s, rng: laid_out(reordered(s, rng)),
    "synonyms (60 %)": lambda s, rng: laid_out(synonyms(s, rng)),
    "all of these": lambda s, rng: preamble(reformatted(synonyms(reordered(s, rng), rng), rng), rng),
}


def tied(values: U64) -> Mask:
    """Return which rows share a value (of any column) with at least GROUP - 1 other rows."""
    result = np.zeros(len(values), np.bool_)
    for column in values.reshape(len(values), -1).T:
        _, inverse, count = np.unique(column, return_inverse=True, return_counts=True)
        result |= (count[inverse] >= GROUP) & (column != 0)
    return result


def row_of(name: str, sketches: Sketches) -> str:
    shares = [tied(getattr(sketches, c)).mean() for c in COLUMNS]
    bits = [((sketches.labels >> i) & 1).mean() for i in range(len(LABELS))]
    return f"{name[:30]:30s}" + "".join(f"{s:10.3f}" for s in shares) + "  |" + "".join(f"{b:6.2f}" for b in bits)


def header(title: str) -> None:
    print(
        f"\n{title}\n{'':30s}" + "".join(f"{c:>10s}" for c in COLUMNS) + "  |" + "".join(f"{n[:5]:>6s}" for n in LABELS)
    )


def speed() -> None:
    rng = np.random.default_rng(1)
    vocabulary = " ".join([*SYNONYMS, *(s for slot in SLOTS.values() for s in slot)]).split()

    def prompt(chars: int) -> str:
        words = rng.choice(vocabulary, chars // 3)
        ends = rng.choice(["", "", "", "", "", "", ",", ".", "?\n", "\n- "], len(words))
        return " ".join(f"{w}{e}" for w, e in zip(words, ends, strict=True))[:chars]

    print("prompts per second of processor time, best of 5")
    for chars, n in ((100, 20_000), (2_000, 4_000), (8_000, 1_000)):
        for kind in ("ascii", "accented"):
            texts = [prompt(chars) for _ in range(n)]
            if kind == "accented":
                texts = [t.replace("e", "é") for t in texts]
            best = min(timed(partial(sketch, texts, KEY)) for _ in range(5))
            print(f"  sketch {chars:5d} chars {kind:9s} {n / best:10,.0f}")
    sketches = sketch([prompt(100) for _ in range(20_000)], KEY)
    strings = encode(sketches)
    print(f"  encode {20_000 / min(timed(lambda: encode(sketches)) for _ in range(5)):26,.0f}")
    print(f"  decode {20_000 / min(timed(lambda: decode(strings)) for _ in range(5)):26,.0f}")


def timed(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure likeness.")
    parser.add_argument("--prompts", type=Path, help="folder of extracts (.jsonl.gz)")
    options = parser.parse_args()
    speed()
    if options.prompts:
        header(f"share of prompts tied in groups of >= {GROUP}; share with label")
        for path in sorted(options.prompts.glob("*.jsonl.gz")):
            with gzip.open(path, "rt", encoding="utf-8") as file:
                texts = [json.loads(line)["text"] for line in file]
            print(row_of(path.name.removesuffix(".jsonl.gz"), sketch(texts, KEY)))
    rng = np.random.default_rng(2)
    header(f"paraphrases of {len(SCAFFOLDS)} scaffolds, 200 each: share tied within its scaffold")
    for level, paraphrase in LEVELS.items():
        shares = np.zeros(len(COLUMNS))
        bits = np.zeros(len(LABELS))
        for sentences in SCAFFOLDS.values():
            got = sketch([paraphrase([fill(s, rng) for s in sentences], rng) for _ in range(200)], KEY)
            shares += [tied(getattr(got, c)).mean() for c in COLUMNS]
            bits += [((got.labels >> i) & 1).mean() for i in range(len(LABELS))]
        shares, bits = shares / len(SCAFFOLDS), bits / len(SCAFFOLDS)
        print(f"{level:30s}" + "".join(f"{s:10.3f}" for s in shares) + "  |" + "".join(f"{b:6.2f}" for b in bits))


if __name__ == "__main__":
    main()

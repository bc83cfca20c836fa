"""Train the label classifier of `detector.likeness.labels` and say how well it does on what it has not seen.

    python -m tests.bench.train_labels --prompts DIR [--write]

Two kinds of material:
- sentences written for this script (`label_sentences.txt`), expanded from alternatives; every third sentence pattern
  of a label, and of the harmless neighbours, is held out whole;
- public extracts in DIR, one `.jsonl.gz` of `{"text": ...}` per source (alpaca and codealpaca generation prompts,
  codealpaca instructions, GSM8K questions, ToolAlpaca, AlpacaEval judge prompts, awesome-chatgpt-prompts,
  BFCL live, self-instruct batch templates; licences in their repositories). Nothing of their text is kept: the
  weights are sums over hashed words. Held-out by source: a label's extract is left out in turn and recalled by
  a classifier that never saw it.

Without DIR only the sentences are used. The threshold of a label is where no more than MAX_FALSE_SHARE of the
training negatives pass.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from detector.event import LABELS
from detector.likeness import labels as classifier
from detector.likeness.fold import fold
from detector.likeness.lexicon import classify
from detector.likeness.words import mask

F64 = npt.NDArray[np.float64]
PER_SOURCE: Final = 300
PER_PATTERN: Final = 24
STEPS: Final = 150
RATE: Final = 0.5
DECAY: Final = 5e-5
CLASS_FORCE: Final = 3.0
SCALE: Final = 40.0
NEGLIGIBLE: Final = 2  # smaller weights only make the file larger
MAX_FALSE_SHARE: Final = 0.002
UNKNOWN: Final = -1

# What holds for an extract; "?" marks what cannot be told without reading every row.
SOURCES: Final[dict[str, str]] = {
    "benign_awesome": "?agentic ?coding ?generation ?grading",
    "benign_batch_t0": "?grading",
    "benign_bfcl_live": "?agentic ?coding ?probe",
    "harvest_alpaca_generation": "generation",
    "harvest_codealpaca_generation": "generation coding",
    "harvest_codealpaca_naked": "coding",
    "harvest_gsm8k_cot": "",
    "harvest_toolalpaca": "agentic ?generation",
    "harvest_judge": "grading ?coding ?agentic",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One text, with 1, 0 or UNKNOWN for every label."""

    source: str
    held_out: bool
    text: str
    truth: tuple[int, ...]


def truth(names: str) -> tuple[int, ...]:
    """Return what holds: "name" 1, "?name" UNKNOWN, 0 for a label that is not named."""
    given = names.split()
    return tuple(1 if name in given else UNKNOWN if f"?{name}" in given else 0 for name in LABELS)


def sections() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the sentence patterns by what holds, and the fillers by their name."""
    patterns: dict[str, list[str]] = {}
    fillers: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in Path(__file__).with_name("label_sentences.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            name = line[1:-1]
            lines = fillers.setdefault(name[1:-1], []) if name.startswith("<") else patterns.setdefault(name, [])
        elif line and not line.startswith("#"):
            lines.append(line.replace("\\n", "\n"))
    return patterns, fillers


SENTENCES, SLOTS = sections()


def expand(pattern: str, rng: np.random.Generator) -> str:
    text = re.sub(r"\{([^{}]*\|[^{}]*)\}", lambda m: str(rng.choice(m[1].split("|"))), pattern)
    text = re.sub(r"<(\w+)>", lambda m: str(rng.choice(SLOTS[m[1]])) if m[1] in SLOTS else m[0], text)
    return " ".join(text.split(" "))


def written(rng: np.random.Generator) -> list[Sample]:
    """Return the expansions of every pattern; every third pattern of a key is held out."""
    samples = []
    for names, patterns in SENTENCES.items():
        for i, pattern in enumerate(patterns):
            texts = {expand(pattern, rng) for _ in range(PER_PATTERN)}
            samples += [Sample(f"written:{names}", i % 3 == 2, text, truth(names)) for text in sorted(texts)]
    return samples


def extracts(folder: Path, rng: np.random.Generator) -> list[Sample]:
    samples = []
    for source, names in SOURCES.items():
        with gzip.open(folder / f"{source}.jsonl.gz", "rt", encoding="utf-8") as file:
            texts = [json.loads(line)["text"] for line in file]
        chosen = rng.permutation(len(texts))[:PER_SOURCE]
        samples += [Sample(source, k % 4 == 3, texts[i], truth(names)) for k, i in enumerate(chosen)]
    return samples


def read(samples: list[Sample]) -> classifier.Features:
    words = mask(fold([s.text for s in samples]))
    return classifier.features(words, classify(words.code))


def train(samples: list[Sample]) -> tuple[F64, F64]:
    """Return [features, labels] weights and [labels] biases of logistic regressions; every source weighs the same."""
    found = read(samples)
    rows = np.arange(len(samples))
    row = np.concatenate(
        (
            np.repeat(rows, 2 * np.diff(found.word_first)),
            np.repeat(rows, (1 + classifier.REACH) * np.diff(found.class_first)),
        )
    )
    feature = np.concatenate((found.by_word, found.by_class))
    used = feature != classifier.NOTHING
    row, feature = row[used], feature[used]
    value = 1 / np.sqrt(np.maximum(found.count, 1))
    # What a class says holds for all of its words, so it may weigh more before it costs as much.
    force = np.where(np.arange(classifier.FEATURES) < classifier.WORD_FEATURES, 1.0, CLASS_FORCE)
    weights = np.zeros((classifier.FEATURES, len(LABELS)))
    bias = np.zeros(len(LABELS))
    _, source = np.unique([s.source for s in samples], return_inverse=True)
    share = 1 / np.bincount(source)[source]
    for label in range(len(LABELS)):
        y = np.array([s.truth[label] for s in samples])
        known = y != UNKNOWN
        each = np.where(known, np.minimum(share, 1 / 150), 0.0)
        each[y == 1] *= each[y == 0].sum() / max(each[y == 1].sum(), 1e-9) / 2
        each /= each.sum()
        w, b = np.zeros(len(weights)), 0.0
        square_w, square_b = np.full(len(weights), 1e-8), 1e-8
        for _ in range(STEPS):
            z = np.bincount(row, (w * force)[feature], len(samples)) * value + b
            error = each * (1 / (1 + np.exp(-z)) - np.maximum(y, 0))
            slope = np.bincount(feature, (error * value)[row], len(w)) * force + DECAY * w
            square_w += slope**2
            square_b += error.sum() ** 2
            w -= RATE * slope / np.sqrt(square_w)
            b -= RATE * error.sum() / np.sqrt(square_b)
        weights[:, label], bias[label] = w * force, b
    return weights, bias


def quantise(samples: list[Sample], weights: F64, bias: F64) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return integer weights, and biases that let at most MAX_FALSE_SHARE of the known negatives pass."""
    whole = np.clip(np.rint(weights * SCALE), -127, 127).astype(np.int32)
    whole[np.abs(whole) <= NEGLIGIBLE] = 0
    none = np.zeros(len(LABELS), np.int32)
    got = classifier.scores(read(samples), classifier.pack(whole), none)
    result = np.rint(bias * SCALE).astype(np.int32)
    for label in range(len(LABELS)):
        y = np.array([s.truth[label] for s in samples])
        floor = np.quantile(got[y == 0, label], 1 - MAX_FALSE_SHARE)
        result[label] = -int(np.ceil(max(floor, -float(result[label]))))
    return whole, result


def report(title: str, samples: list[Sample], weights: npt.NDArray[np.int32], bias: npt.NDArray[np.int32]) -> None:
    got = classifier.scores(read(samples), classifier.pack(weights), bias) > 0
    print(f"\n{title}")
    for label, name in enumerate(LABELS):
        y = np.array([s.truth[label] for s in samples])
        hits, positives = int((got[:, label] & (y == 1)).sum()), int((y == 1).sum())
        false, negatives = int((got[:, label] & (y == 0)).sum()), int((y == 0).sum())
        recall = f"{hits / positives:.3f}" if positives else "  -  "
        precision = f"{hits / (hits + false):.3f}" if hits + false else "  -  "
        print(f"  {name:22s} precision {precision}  recall {recall} of {positives:5d}  false {false} of {negatives}")


def worst(samples: list[Sample], weights: npt.NDArray[np.int32], bias: npt.NDArray[np.int32], shown: int) -> None:
    got = classifier.scores(read(samples), classifier.pack(weights), bias)
    for label, name in enumerate(LABELS):
        y = np.array([s.truth[label] for s in samples])
        wrong = np.where(y == 1, -got[:, label], np.where(y == 0, got[:, label], -np.inf))
        for i in np.argsort(-wrong)[:shown]:
            if wrong[i] > 0:
                print(f"  {name} truth {y[i]} by {wrong[i]:.0f} {samples[i].source}: {samples[i].text[:110]!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the label classifier.")
    parser.add_argument("--prompts", type=Path, help="folder of extracts (.jsonl.gz)")
    parser.add_argument("--write", action="store_true", help="replace detector/likeness/labels.npz")
    parser.add_argument("--worst", type=int, default=0, help="show so many errors per label")
    options = parser.parse_args()
    rng = np.random.default_rng(20261123)
    samples = written(rng) + (extracts(options.prompts, rng) if options.prompts else [])
    seen = [s for s in samples if not s.held_out]
    unseen = [s for s in samples if s.held_out]
    weights, bias = quantise(seen, *train(seen))
    report("trained on", seen, weights, bias)
    report("held-out patterns, and held-out rows of the extracts", unseen, weights, bias)
    for source in dict.fromkeys(s.source for s in unseen):
        report(f"held out, {source}", [s for s in unseen if s.source == source], weights, bias)
    worst(unseen, weights, bias, options.worst)
    if options.prompts:
        for source, names in SOURCES.items():
            if not set(names.split()) & set(LABELS):
                continue
            rest = [s for s in seen if s.source != source]
            report(
                f"{source} ({names or 'no label'}), by a classifier that never saw it",
                [s for s in samples if s.source == source],
                *quantise(rest, *train(rest)),
            )
    if options.write:
        final = quantise(samples, *train(samples))
        target = Path(classifier.__file__).with_name("labels.npz")
        np.savez_compressed(target, weights=final[0].astype(np.int8), bias=final[1])
        print(f"\n{target}: {target.stat().st_size} bytes, {int(np.count_nonzero(final[0]))} weights")


if __name__ == "__main__":
    main()

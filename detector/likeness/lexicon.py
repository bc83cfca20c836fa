"""Words that say what is asked for, in classes: what stays when the content words of a prompt are replaced.

INSTRUCTIONS make the skeleton; TOPICS are there for the labels only.

A synonym is in the class of its sibling, so "write a function that computes" and "create a method which calculates"
read the same. Classes of ordinary function words are left out: they say nothing about the request.
The look-up is a table of 2^TABLE_BITS entries addressed by the top bits of the word's code, built without collisions.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from detector.event import I8, U64
from detector.likeness.compiled import entry
from detector.likeness.words import codes

INSTRUCTIONS: Final[dict[str, str]] = {
    "make": "write create generate compose produce develop implement build design make craft construct draft prepare "
    "formulate invent devise synthesize come",
    "explain": "explain describe elaborate clarify illustrate discuss outline explanation description articulate",
    "list": "list enumerate name mention listing",
    "compare": "compare contrast differentiate distinguish difference differences comparison",
    "solve": "solve calculate compute determine find derive calculates finds computes determines calculation",
    "rewrite": "rewrite rephrase paraphrase edit refactor improve optimize optimise modify change convert transform "
    "polish restructure reformat update adapt clean evolve",
    "translate": "translate translation translated port",
    "summarise": "summarize summarise summary condense shorten tldr summarization",
    "fix": "fix debug correct repair error errors bug bugs mistake mistakes issue",
    "classify": "classify categorize categorise label sort identify detect classification category categories",
    "give": "give provide show suggest return output print reply respond emit returns",
    "answer": "answer answers response responses reply completion completions outputs submission solution solutions",
    "code": "function program script method code snippet algorithm class query functions programs coding programming "
    "implementation array unit regex loop",
    "language": "python java javascript typescript rust golang ruby php kotlin swift sql html css bash shell "
    "react node "
    "django flask c json",
    "judge": "grade score rate judge assess rank rating scores grading ranking rubric criteria criterion evaluation "
    "evaluates evaluate preferred better leaderboard best quality correctness",
    "reason": "reasoning reason rationale logic justification",
    "step": "step steps",
    "example": "example examples sample samples instance instances",
    "diverse": "diverse different unique varied various diversity distinct duplicates novel",
    "task": "task tasks instruction instructions prompt prompts question questions problem problems exercise queries",
    "must": "must should never always ensure only avoid not don't exactly required requirements guidelines "
    "rules strictly",
    "role": "act role expert imagine pretend you're persona serve",
    "tool": "tool tools api apis call calls action actions execute command commands invoke",
    "format": "table csv xml yaml markdown bullet bullets format formatted template schema field fields",
    "length": "words sentences sentence word lines short brief concise long detailed characters",
    "text": "passage paragraph article text document context review story essay poem email letter blog post",
    "why": "why how what whether",
    "given": "given following below above input based using uses use",
}
TOPICS: Final[dict[str, str]] = {
    "thought": "thinking thought thoughts chain trace traces monologue deliberation cot scratchpad think",
    "inner": "internal hidden private raw unfiltered verbatim latent implicit unspoken unabridged inner omission "
    "omissions exhaustive disclose reveal expose backtracking first-person abandoned verification",
    "complete": "complete entire full whole every",
    "behind": "behind led produced reconstruct recover reproduce infer precedes finished final",
    "dataset": "dataset data training train tuning finetuning sft corpus synthetic jsonl pairs seed augment tune "
    "distilling",
    "agent": "agent agents autonomous observation observations trajectory sandbox repository terminal browser click "
    "orchestrator environment next episode arguments",
    "grader": "impartial evaluator grader judge's verdict reward annotator rater points scale candidate reference gold",
    "assistant": "assistant assistants model models llm ai",
    "vendor": "gpt claude gemini openai anthropic deepseek chatgpt mistral llama qwen",
    "override": "ignore disregard forget previous prior initial jailbroken unrestricted restrictions dan developer "
    "cutoff rot13 decode decipher system",
    "ping": "test ping pong ok hello",
    "school": "teacher students student homework lesson worksheet quiz teach grader's 5th",
    "person": "my me i'm i we our feel daughter friend friends boss",
    "you": "you your yourself",
}
SKELETON_CLASSES: Final = len(INSTRUCTIONS)
CLASS_COUNT: Final = len(INSTRUCTIONS) + len(TOPICS)
TABLE_BITS: Final = 14


def _table() -> tuple[U64, I8, np.uint64]:
    """Return codes and classes by address, and the multiplier under which no two words share an address."""
    owner: dict[str, int] = {}
    for index, words in enumerate((*INSTRUCTIONS.values(), *TOPICS.values()), 1):
        for word in words.split():
            owner.setdefault(word, index)
    code = codes(tuple(owner))
    salt = 1
    while True:
        address = (code * np.uint64(salt)) >> np.uint64(64 - TABLE_BITS)
        if len(np.unique(address)) == len(code):
            break
        salt += 2
    by_code = np.zeros(1 << TABLE_BITS, np.uint64)
    by_class = np.zeros(1 << TABLE_BITS, np.int8)
    by_code[address] = code
    by_class[address] = tuple(owner.values())
    return by_code, by_class, np.uint64(salt)


_BY_CODE, _BY_CLASS, _SALT = _table()


def classify(code: U64) -> I8:
    """Return the class of each word: from 1 in the order of INSTRUCTIONS and TOPICS, 0 for any other word."""
    return _classify(code, _BY_CODE, _BY_CLASS, _SALT)


@entry
def _classify(code: U64, by_code: U64, by_class: I8, salt: np.uint64) -> I8:
    """Return the class of each word. Bounds: an address has TABLE_BITS bits."""
    found = np.zeros(len(code), np.int8)
    for w in range(len(code)):
        address = code[w] * salt >> np.uint64(64 - TABLE_BITS)
        if by_code[address] == code[w]:
            found[w] = by_class[address]
    return found

"""What the columns of a sketch promise."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detector.event import FRAGMENTS, Sketches
from detector.likeness import sketch

KEY = 0x1234_5678_9ABC_DEF0

PIECES = st.sampled_from(
    [
        "write a poem about",
        " ",
        "\n",
        "\n\n- ",
        "1. ",
        '"',
        "'",
        "```",
        '"""',
        "https://a.b/c?d=e",
        "x@y.org",
        "Paris",
        "東京",
        "é",
        "e\u0301",
        "\ud800",
        "\x00",
        "\u200b",
        "ﷺ",
        "𝕏",
        "don't",
        "a, b, c",
        "f(x)",
        "{",
        "}",
        "ǅ",
        "İ",
        "😀",
        "5.2",
        "a" * 40,
    ]
)
TEXTS = st.one_of(st.text(alphabet=st.characters(exclude_categories=())), st.lists(PIECES, max_size=40).map("".join))


def same(a: Sketches, b: Sketches) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Sketches))


def row(s: Sketches, i: int) -> Sketches:
    return Sketches(*(getattr(s, f.name)[i : i + 1] for f in fields(Sketches)))


def values(column: str, *texts: str) -> list[int]:
    return [int(v) for v in getattr(sketch(texts, KEY), column)]


@given(st.lists(st.one_of(st.none(), TEXTS), max_size=12))
@example(["", None, "a", "\ud800", "\n\n\n", "'", '"', "`", "\x00"])
@example(["hello there", '"""', "'a' 'b", "`" * 7, "\ufdfa" * 9000])
def test_a_batch_is_its_rows_one_by_one(texts: list[str | None]) -> None:
    batch = sketch(texts, KEY)
    assert len(batch.known) == len(texts)
    for i, text in enumerate(texts):
        assert same(row(batch, i), sketch([text], KEY))


@given(st.lists(TEXTS, max_size=4), st.integers())
def test_the_same_texts_and_key_give_the_same_sketch(texts: list[str], key: int) -> None:
    assert same(sketch(texts, key), sketch(list(texts), key))


@settings(max_examples=20)
@given(st.integers(1, 3000))
def test_chunks_do_not_show(n: int) -> None:
    """A batch larger than a chunk is the concatenation of its parts."""
    texts = [f"please solve problem {i} and explain the steps in plain words, one by one" for i in range(n)]
    whole = sketch(texts, KEY)
    assert same(row(whole, n - 1), sketch(texts[-1:], KEY))
    assert whole.known.all()


def test_another_key_gives_other_values_in_every_column() -> None:
    text = (
        "You are a careful grader. Read the answer below and write down a score from one to ten. Explain your reasons."
    )
    a, b = sketch([text], 1), sketch([text], 2)
    for column in ("text", "template", "head", "tail", "skeleton", "fragments"):
        assert np.all(getattr(a, column) != getattr(b, column)), column
        assert np.all(getattr(a, column) != 0), column
    assert a.words[0] == b.words[0]
    assert a.labels[0] == b.labels[0]


@pytest.mark.parametrize("text", [None, "", " ", "\n\t \n", "\u3000", "\u200b", "\x00"])
def test_no_prompt_is_an_unknown_row_of_zeros(text: str | None) -> None:
    s = sketch([text], KEY)
    assert not s.known[0]
    assert all(not np.any(getattr(s, f.name)) for f in fields(Sketches))


@pytest.mark.parametrize("text", ["hi", "thanks", "continue", "ok go on", "¿qué?", "继续", "42"])
def test_a_very_short_prompt_has_text_and_template_only(text: str) -> None:
    s = sketch([text], KEY)
    assert s.known[0]
    assert s.text[0]
    assert s.template[0]
    assert s.head[0] == s.tail[0] == s.skeleton[0] == 0


def test_text_ignores_case_white_space_and_unicode_form_and_nothing_else() -> None:
    a, b, c, d = values("text", "What is  5+3?\n", "what is 5+3?", "what is 5*3?", "what is 5+4?")
    assert a == b
    assert len({a, c, d}) == 3
    composed, decomposed, wide = values("text", "caf\u00e9 A", "cafe\u0301 a", "caf\u00e9 \uff21")
    assert composed == decomposed == wide


@pytest.mark.parametrize(
    ("slot", "other"),
    [
        ("17", "3.14"),
        ('"a question of any kind"', '"two, or three"'),
        ("'one'", "'another one here'"),
        ("https://example.org/a/b?c=d", "http://other.net"),
        ("someone@example.org", "a.b@c.de"),
        ("/usr/lib/python3/x.py", "src/main.rs"),
        ("6f1c2a9e-11aa-4bcd-8e00-1234567890ab", "deadbeef01"),
        ("Albert Einstein", "Marie Curie"),
        ("apples, pears, plums", "one, two, three, four"),
        ("`x = y`", "`call me`"),
        ("```\nimport a\nprint(a)\n```", "```\nlet b;\n```"),
        ('"""several\nlines of it"""', '"""one"""'),
    ],
)
def test_what_is_in_a_slot_does_not_change_the_template(slot: str, other: str) -> None:
    a, b, none = values(
        "template", *(f"please take a look at {s} and say what is in it" for s in (slot, other, "the sea"))
    )
    assert a == b != none


def test_lists_of_values_are_one_slot_however_long() -> None:
    a, b = values("template", "sort these numbers: 1, 2, 3 please", "sort these numbers: 4 5 6 7, 8; 9 please")
    assert a == b


def test_a_suffix_gives_one_tail_whatever_question_stands_before() -> None:
    tails = values(
        "tail",
        "How many apples are left in the basket at noon?\nLet's think step by step.",
        "A train leaves at nine and arrives at ten, how fast is it? Let's think step by step.",
        "Q: why is the sky blue and not green\nA: Let\u2019s  think step by step",
    )
    assert len(set(tails)) == 1
    assert tails[0] != 0


def test_a_prefix_gives_one_head_whatever_follows() -> None:
    heads = values(
        "head",
        "Answer the following question: how many apples are left in the basket at noon?",
        "Answer the following question: what do whales eat?",
        "You are a helpful expert in every field of knowledge that there is. What do whales eat?",
        "You are a helpful expert in every field of knowledge that there is. Name a river in Asia.",
    )
    assert heads[0] == heads[1] != 0
    assert heads[2] == heads[3] != 0
    assert heads[0] != heads[2]


def test_a_scaffold_around_free_text_shares_head_tail_and_some_fragment() -> None:
    before = "You grade the work of students. Read question and answer with great care before you decide on anything. "
    after = "\nNow say in one word whether the answer above is right or wrong and nothing else."
    s = sketch(
        [f"{before}{slot}{after}" for slot in ("whales eat very small animals", "the moon is made of old cheese")], KEY
    )
    assert s.template[0] != s.template[1]
    assert s.head[0] == s.head[1] != 0
    assert s.tail[0] == s.tail[1] != 0
    assert np.any(s.fragments[0] == s.fragments[1])


def test_fragments_agree_as_often_as_the_shingles_are_alike() -> None:
    """Over many pairs, the share of equal columns is the Jaccard likeness of their shingles."""
    words = [f"{a}{b}{c}" for a in "bdfgklmnprstvz" for b in "aeiou" for c in "nrst"]
    n = 400
    rng = np.random.default_rng(5)
    texts = []
    for _ in range(0, n, 2):
        common = " ".join(rng.choice(words, 24))
        texts += [f"{common} {' '.join(rng.choice(words, 14))}" for _ in range(2)]
    got = sketch(texts, KEY).fragments
    agree = np.mean([np.mean(got[i] == got[i + 1]) for i in range(0, n, 2)])
    alike = 20 / (20 + 2 * 14)  # 24 common words have 20 shingles of 5, 14 more words add 14
    assert abs(agree - alike) < 4 * (alike * (1 - alike) / (FRAGMENTS * n / 2)) ** 0.5


def test_a_skeleton_survives_other_content_words_and_synonyms() -> None:
    a, b, other = values(
        "skeleton",
        "Write a Python function that computes the area of a circle given its radius.",
        "Create a Java method which calculates the volume of a box given the sides.",
        "Translate the following sentence to French and explain why the verb is at its end.",
    )
    assert a == b != 0
    assert other not in (0, a)


def test_a_plain_question_has_no_skeleton() -> None:
    assert values("skeleton", "will it rain on my parents' garden tomorrow morning or later that day?") == [0]


@pytest.mark.parametrize(
    "text", ["東京の天気を教えてください", "ما هي عاصمة فرنسا", "Как дела у вас сегодня", "😀😀😀", "สวัสดีครับ"]
)
def test_every_script_has_words(text: str) -> None:
    s = sketch([text, text + " x"], KEY)
    assert s.words[0] > 0
    assert s.template[0] != s.template[1]


def test_scripts_without_spaces_are_cut_into_characters() -> None:
    assert sketch(["東京の天気は"], KEY).words[0] == 6
    a, b = values(
        "tail", "一番高い山はどこですか。段階的に考えてください。", "鯨は何を食べますか。段階的に考えてください。"
    )
    assert a == b != 0


@settings(deadline=None)
@given(st.sampled_from(["\u0301\u0316", '"', "'", "`", "a ", "1,", "\n.", "x" * 50, "é", "漢", "\ufdfa", "/", "a, "]))
def test_work_is_bounded_by_the_part_that_is_read(unit: str) -> None:
    """A hostile prompt of any length has no more words than what is read of it."""
    s = sketch([unit * (200_000 // len(unit))], KEY)
    assert s.known[0]
    assert s.words[0] <= 3 * 8192


def test_what_is_not_read_still_tells_texts_apart() -> None:
    a, b = values("text", "a " * 9000 + "b" + " a" * 9000, "a " * 9000 + "c" + " a" * 9000)
    assert a != b

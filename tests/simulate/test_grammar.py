"""Text is a function of what is fixed and what is filled in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.simulate.benign_texts import BENIGN_RULES
from detector.simulate.grammar import Grammar, mixed64
from detector.simulate.harvest_texts import FAMILIES, HARVEST_RULES

GRAMMAR = Grammar(HARVEST_RULES)
TINY = Grammar(
    {"SAY": "One {word} here|Two {word} there|Three {word}", "word": "red|green|blue|black", "Q": 'say "{word}"\n{1-3}'}
)


@given(st.sampled_from(sorted(HARVEST_RULES)), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_every_rule_expands_to_the_body_of_a_json_string(rule: str, template: int, request: int) -> None:
    text = GRAMMAR.text(rule, template, request)
    assert json.loads(f'"{text}"').strip()
    assert text == GRAMMAR.text(rule, template, request)


def test_a_template_keeps_its_structure_whatever_fills_its_slots() -> None:
    for template in range(20):
        first_words = {TINY.text("SAY", mixed64(template), mixed64(request)).split()[0] for request in range(50)}
        assert len(first_words) == 1
    assert len({TINY.text("SAY", mixed64(template), 1).split()[0] for template in range(50)}) == 3


def test_rewriting_chooses_the_structure_anew_in_the_share_asked_for() -> None:
    fixed = TINY.text("SAY", 7, 0).split()[0]
    changed = sum(TINY.text("SAY", 7, mixed64(request), 0.3).split()[0] != fixed for request in range(3000)) / 3000
    assert 0.3 * 2 / 3 - 0.04 < changed < 0.3 * 2 / 3 + 0.04  # a third of the new choices is the old one


def test_slots_are_skewed_towards_the_front_of_their_list() -> None:
    words = [TINY.text("SAY", 1, mixed64(request)).split()[1] for request in range(4000)]
    assert words.count("red") > 1.5 * words.count("green") > 0
    assert words.count("black") > 300


def test_literals_are_escaped_once() -> None:
    assert json.loads(f'"{TINY.text("Q", 1, 1)}"').startswith('say "')


def test_an_unknown_rule_is_an_error_when_the_grammar_is_made() -> None:
    with pytest.raises(KeyError, match="missing"):
        Grammar({"A": "see {missing}"})


def test_every_family_has_a_scaffold_and_shares_its_words_with_benign_text() -> None:
    assert set(BENIGN_RULES) <= set(HARVEST_RULES)
    for family in FAMILIES:
        assert len(GRAMMAR.text(f"H_{family}", 3, 4)) > 60

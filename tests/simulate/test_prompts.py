"""Real prompts: who gets which, so that nobody shares more than the collections do; and what a folder may hold."""

import gzip
import json
from collections import defaultdict
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import InputError
from detector.event import RequestEvent
from detector.simulate import Collections, Simulation, simulate
from detector.simulate.files import read_prompts
from detector.simulate.prompts import _split

BENIGN = tuple(f"a real question {number}" for number in range(5_000))
HARVEST = tuple(f"harvested {number}" for number in range(4_000))
BOTH = Collections({"": BENIGN}, {"": HARVEST})


def asked(simulation: Simulation) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for chunk in simulation.chunks():
        for event in (msgspec.json.decode(line, type=RequestEvent) for line in chunk):
            if event.prompt_text is not None:
                found[event.account_id].append(event.prompt_text)
    return found


def labels(simulation: Simulation) -> dict[str, str]:
    return {row["account_id"]: row.get("campaign_id", "") for row in simulation.truth}


def users_of(prompts: dict[str, list[str]], known: tuple[str, ...]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for account, texts in prompts.items():
        for text in texts:
            found[text].add(account)
    return {text: found[text] for text in known if text in found}


def burst(prompts: Collections | None = BOTH, seed: int = 1) -> Simulation:
    return simulate("burst", seed, 0.002, 2.1, prompts=prompts)


def test_campaigns_ask_harvested_prompts_and_nothing_else_in_disjoint_slices() -> None:
    simulation = burst()
    campaign, prompts = labels(simulation), asked(simulation)
    harvesting = {account: texts for account, texts in prompts.items() if campaign[account]}
    assert harvesting
    assert set().union(*harvesting.values()) <= set(HARVEST)
    assert all(len(accounts) == 1 for accounts in users_of(prompts, HARVEST).values())
    assert not any(set(texts) & set(HARVEST) for account, texts in prompts.items() if not campaign[account])


def test_people_ask_real_questions_each_from_a_window_of_neighbours() -> None:
    simulation = burst()
    campaign, prompts = labels(simulation), asked(simulation)
    place = {text: number for number, text in enumerate(BENIGN)}
    users = users_of(prompts, BENIGN)
    assert len(users) > 100
    assert all(len(accounts) == 1 for accounts in users.values())
    for account, texts in prompts.items():
        places = [place[text] for text in texts if text in place]
        assert not places or (not campaign[account] and max(places) - min(places) < 100)


def test_a_family_of_benign_prompts_is_the_job_of_one_customer() -> None:
    families = {f"job {number}": tuple(f"job {number}, row {row}" for row in range(50)) for number in range(40)}
    prompts = asked(burst(Collections(families, {})))
    users = [set().union(*users_of(prompts, rows).values()) for rows in families.values()]
    assert all(len(accounts) <= 1 for accounts in users)
    assert sum(map(len, users)) == len(set().union(*users)) > 3


def test_a_campaign_takes_the_family_that_its_content_names() -> None:
    families = {name: tuple(f"{name} {row}" for row in range(500)) for name in ("naked", "coding", "judge")}
    simulation = simulate("naked", 1, 0.004, 2.5, prompts=Collections({}, families))
    campaign, prompts = labels(simulation), asked(simulation)
    texts = [text for account, mine in prompts.items() if campaign[account] for text in mine]
    assert texts
    assert sum(text.startswith("naked ") for text in texts) > 0.8 * len(texts)  # the rest probes


def test_two_operators_walk_different_parts_of_the_collection() -> None:
    simulation = simulate("two-operators", 1, 0.004, 2.5, prompts=BOTH)
    campaign, prompts = labels(simulation), asked(simulation)
    users = users_of(prompts, HARVEST)
    assert len({campaign[account] for accounts in users.values() for account in accounts}) == 2
    assert all(len({campaign[account] for account in accounts}) == 1 for accounts in users.values())


def test_the_same_seed_deals_the_same_prompts_and_another_seed_others() -> None:
    assert asked(burst()) == asked(burst())
    assert asked(burst()) != asked(burst(seed=2))


def test_everything_but_the_prompts_is_as_without_them() -> None:
    def rest(simulation: Simulation) -> list[dict[str, object]]:
        events = [json.loads(line) for chunk in simulation.chunks() for line in chunk]
        return [{name: value for name, value in event.items() if name != "prompt_text"} for event in events]

    assert rest(burst()) == rest(burst(None))


@given(st.integers(0, 100), st.integers(0, 50), st.integers(1, 20))
def test_slices_cover_everything_once_unless_there_are_too_few(begin: int, size: int, parts: int) -> None:
    slices = _split(begin, begin + size, parts)
    assert len(slices) == parts
    held = np.concatenate([np.arange(*one) for one in slices]).tolist()
    if size >= parts:
        assert held == list(range(begin, begin + size))
    else:
        assert set(held) == set(range(begin, begin + size))
        assert len(held) == (parts if size else 0)


# -- the folder --------------------------------------------------------------------------------


def test_a_folder_of_ndjson_and_of_plain_text_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    rows = [{"prompt": 'say "hi"\nnow', "kind": "benign"}, {"prompt": "solve", "kind": "harvest", "family": "coding"}]
    with gzip.open(tmp_path / "b.ndjson.gz", "wt") as file:
        file.write("\n\n".join(json.dumps({**row, "source": "kept elsewhere"}) for row in rows))
    for side in ("benign", "harvest"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "x.txt").write_text(f"{side} one\n\n  {side} two\n", "utf-8")
    read = read_prompts(tmp_path)
    assert read.benign == {"": ('say \\"hi\\"\\nnow', "benign one", "benign two")}
    assert read.harvest == {"coding": ("solve",), "": ("harvest one", "harvest two")}


def test_the_name_of_a_file_says_what_its_rows_do_not(tmp_path: Path) -> None:
    def written(name: str, *rows: dict[str, object]) -> None:
        with gzip.open(tmp_path / name, "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    written("benign_copied.jsonl.gz", {"name": "guide", "text": "be my guide"})
    written("benign_bulk.jsonl.gz", {"template": "sum_up", "text": "sum up: x"}, {"template": 7, "text": "label: y"})
    written("harvest_book_naked.jsonl.gz", {"text": "what is a monad?"}, {"text": "q", "kind": "benign"})
    written("harvest_steps.jsonl.gz", {"template": "q", "text": "step by step"}, {"text": "y", "family": "coding"})
    read = read_prompts(tmp_path)
    assert read.benign == {"": ("be my guide", "q"), "sum_up": ("sum up: x",), "7": ("label: y",)}
    assert read.harvest == {"naked": ("what is a monad?",), "steps": ("step by step",), "coding": ("y",)}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"text": "x", "kind": "benign"}\n{"text": "of which kind?"}\n', "a.jsonl:2: no kind"),
        ("benign_a.jsonl", b'{"text": "x"}\n{"texts": "x"}\n', "benign_a.jsonl:2: no prompt and no text"),
        ("harvest.jsonl", b'{"text": "x"}\n', "harvest.jsonl:1: no kind"),
        ("a.ndjson", b'{"prompt": "x", "kind": "benign"}\n["not an object"]\n', "a.ndjson:2: "),
        ("a.jsonl", b'{"prompt": "x", "kind": "rival"}\n', "a.jsonl:1: .*rival"),
        ("a.jsonl", b'{"kind": "benign"}\n', "a.jsonl:1: .*prompt"),
        ("a.jsonl", b'{"prompt": "", "kind": "benign"}\n', "a.jsonl:1: "),
        ("benign/a.txt", b"fine\n\xff\xfe\n", "a.txt:2: not UTF-8"),
        ("benign/a.txt.gz", b"not compressed\n", "a.txt.gz:0: cannot be read"),
        ("a.txt", b"of which kind?\n", "a.txt: no collection"),
        ("benign/a.parquet", b"PAR1", "a.parquet: no collection"),
        ("a.ndjson", b"\n", "no prompts"),
    ],
)
def test_anything_else_is_refused_with_its_place(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / "benign").mkdir()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_prompts(tmp_path)

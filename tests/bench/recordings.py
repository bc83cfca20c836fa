"""A stream of events from recorded traffic and recorded prompts: what is real in it, and what is made up.

    traffic/servegen_windows_600s.parquet      API clients: requests per ten minutes, burstiness       real
    traffic/servegen_length_quantiles.parquet  their token lengths                                     real
    traffic/realhumaneval_sessions.jsonl.gz    people: gaps between messages, turns, many messages     real
    traffic/mooncake_conversation.jsonl.gz     people: token lengths                                   real
    prompts/benign_*.jsonl.gz                  what people copy, function calls, legitimate bulk jobs   real
    prompts/harvest_*.jsonl.gz                 the campaign's prompts                                  real

Made up: who is who (accounts, their age, tier, payment, networks, software), which prompts a client of the traffic
recording sends, when people come (the recording has sessions, not calendars), and the whole
conduct of the campaign but its prompts and its public intensity. Rates of API clients are capped (the largest real one
sends millions a day, and would be the whole stream).

The folder is an argument: it is not part of this repository.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow.parquet

from detector.account import AccountRecord
from detector.errors import InputError
from detector.scorecard import TruthRecord
from detector.simulate.files import Prompt, prompts_of

BEGIN_MS: Final = 1_788_134_400_000  # a Monday, 2026-08-31
DAY_MS: Final = 86_400_000
WINDOW_MS: Final = 600_000
MODELS: Final = ("frontier-large", "frontier-small")
SDKS: Final = tuple(
    f"{name}/{v}" for name in ("sdk-python", "sdk-js", "http-go", "sdk-java") for v in ("1.8", "2.0", "2.1")
)
BROWSERS: Final = tuple(
    f"Mozilla/5.0 ({system}) {b}" for system in ("X11", "Mac", "Win", "Phone") for b in ("A/140", "B/19", "C/143")
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything; the campaign's intensity is the public 25.6 exchanges per account and day."""

    days: float = 3.0
    people: int = 4_000
    people_sessions_per_day: float = 0.35
    client_cap_per_day: int = 400
    harvest: str = "harvest_alpaca_generation"
    campaign_accounts: int = 300
    campaign_per_day: float = 25.6
    campaign_day: float = 1.0
    shared_payment: float = 0.1
    seed: int = 1


@dataclass(slots=True)
class Stream:
    """Events as (time of arrival, line), account records, labels."""

    events: list[tuple[int, bytes]] = field(default_factory=list)
    accounts: list[AccountRecord] = field(default_factory=list)
    truth: list[TruthRecord] = field(default_factory=list)

    def chunks(self, events: int = 5_000) -> Iterator[list[bytes]]:
        """Yield the lines in order of arrival."""
        for start in range(0, len(self.events), events):
            yield [line for _, line in self.events[start : start + events]]


class Recordings:
    """The recorded material, as it is drawn from."""

    def __init__(self, data: Path) -> None:
        """Read what is needed of the folder; raise InputError naming the file that is not there."""
        self._data = data
        self.sessions = self._sessions()
        self.lengths = np.array(
            [(r["input_length"], r["output_length"]) for r in self._rows("traffic/mooncake_conversation")], np.int64
        )
        self.copied = [prompt.text for prompt in self._prompts("benign_awesome")]
        self.calls = [prompt.text for prompt in self._prompts("benign_bfcl_live")]
        self.bulk: dict[str, list[str]] = defaultdict(list)
        for prompt in self._prompts("benign_batch_t0"):
            self.bulk[prompt.family].append(prompt.text)
        self.clients = self._clients()

    def harvest(self, name: str) -> list[str]:
        """Return the prompts of a harvest, by the name of its file."""
        return [prompt.text for prompt in self._prompts(name)]

    def _prompts(self, name: str) -> Iterator[Prompt]:
        return prompts_of(self._path(f"prompts/{name}.jsonl.gz"), self._data / "prompts")

    def _rows(self, name: str) -> list[dict[str, Any]]:
        with gzip.open(self._path(f"{name}.jsonl.gz"), "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    def _path(self, name: str) -> Path:
        path = self._data / name
        if not path.exists():
            raise InputError(f"{path}: not there; DATA must be a folder of recordings with traffic/ and prompts/")
        return path

    def _sessions(self) -> list[list[tuple[float, int, str]]]:
        by_user: dict[int, list[tuple[float, int, str]]] = defaultdict(list)
        for row in self._rows("traffic/realhumaneval_sessions"):
            if row["text"].strip():
                by_user[row["user"]].append((row["t_s"], row["turns"], row["text"]))
        return [session for session in by_user.values() if len(session) > 1]

    def _clients(self) -> list[_Client]:
        windows = pyarrow.parquet.read_table(self._path("traffic/servegen_windows_600s.parquet")).to_pydict()
        clients: dict[tuple[str, int], _Client] = defaultdict(_Client)
        for i, name in enumerate(zip(windows["model"], windows["client"], strict=True)):
            clients[name].windows.append((windows["t"][i] * 1_000, windows["rate_rps"][i], windows["cv"][i]))
        lengths = pyarrow.parquet.read_table(self._path("traffic/servegen_length_quantiles.parquet")).to_pydict()
        for i, name in enumerate(zip(lengths["model"], lengths["client"], strict=True)):
            clients[name].knots[lengths["field"][i]].append(lengths["x"][i])
        return [clients[name] for name in sorted(clients) if clients[name].windows]


@dataclass(slots=True)
class _Client:
    windows: list[tuple[int, float, float]] = field(default_factory=list)  # (start ms, requests/s, cv of gaps)
    knots: dict[str, list[list[int]]] = field(default_factory=lambda: defaultdict(list))


class _Author:
    """Writes the stream: identities and events, everything that is made up, from one seed."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = np.random.default_rng(plan.seed)
        self.stream = Stream()
        self._encode = msgspec.json.Encoder().encode

    def account(
        self, cohort: str, *, campaign: str | None = None, age_days: float | None = None, payment: str | None = None
    ) -> dict[str, Any]:
        """Sign an account up; return what its events have in common."""
        rng, number = self.rng, len(self.stream.truth)
        name = f"a{number:06d}"
        age = age_days if age_days is not None else min(rng.exponential(250.0), 1_000.0)
        prefix = f"{rng.integers(20, 220)}.{rng.integers(256)}.{rng.integers(256)}"
        self.stream.accounts.append(
            AccountRecord(
                account_id=name,
                created_ms=BEGIN_MS + int((self.plan.campaign_day if campaign else 0) * DAY_MS - age * DAY_MS),
                tier="api-2" if cohort == "api_clients" else str(rng.choice(["free", "pro", "api-1"])),
                payment_fp=payment or f"p{rng.integers(1 << 40):010x}",
                email_domain=str(rng.choice(["mail-a.example", "mail-b.example", "mail-c.example"])),
                country=str(rng.choice(["US", "DE", "IN", "BR", "JP"])),
            )
        )
        label = TruthRecord(
            account_id=name, label="campaign" if campaign else "benign", cohort=cohort, campaign_id=campaign
        )
        self.stream.truth.append(label)
        agent = str(rng.choice(BROWSERS if cohort == "people" else SDKS))
        return {
            "account_id": name,
            "ip": f"{prefix}.{rng.integers(1, 255)}",
            "user_agent": agent,
            "tls_ja4": f"j{agent}",
        }

    def event(self, account: dict[str, Any], time_ms: float, text: str, **fields: Any) -> None:
        """Write one event, arriving up to three seconds after it happened."""
        if not BEGIN_MS <= time_ms < BEGIN_MS + self.plan.days * DAY_MS:
            return
        event = {
            "id": f"r{len(self.stream.events):08x}",
            "time_ms": int(time_ms),
            "operation": "chat",
            "status": 200,
            "outcome": "ok",
            "prompt_chars": len(text),
            "prompt_text": text,
            **account,
            **fields,
        }
        self.stream.events.append((int(time_ms) + int(self.rng.integers(3_000)), self._encode(event)))


def build(data: Path, plan: Plan) -> Stream:
    """Return the stream; the same plan over the same recordings gives the same bytes."""
    recordings, author = Recordings(data), _Author(plan)
    _people(author, recordings)
    for number, client in enumerate(recordings.clients):
        _client(author, recordings, client, number)
    if plan.campaign_accounts:
        _campaign(author, recordings.harvest(plan.harvest))
    author.stream.events.sort(key=lambda event: event[0])
    return author.stream


def _people(author: _Author, recordings: Recordings) -> None:
    """Sessions of the recorded gaps; messages of the recording, copied prompts, function calls."""
    rng, plan = author.rng, author.plan
    activity = rng.gamma(0.6, 1 / 0.6, plan.people)  # heavy tail: most people come rarely
    for person in range(plan.people):
        account = author.account("people")
        for _ in range(int(rng.poisson(activity[person] * plan.people_sessions_per_day * plan.days))):
            start = BEGIN_MS + int(rng.integers(int(plan.days))) * DAY_MS + rng.normal(15, 4) * 3_600_000
            recorded = recordings.sessions[int(rng.integers(len(recordings.sessions)))]
            own_words = rng.random() < 0.05  # so that the few recorded people are not everybody
            for t, turns, text in recorded:
                said = text if own_words else _asked(rng, recordings)
                asked, answered = recordings.lengths[int(rng.integers(len(recordings.lengths)))].tolist()
                author.event(
                    account,
                    start + t * 1_000,
                    said,
                    model=MODELS[person % 2],
                    user_turns=max(turns, 1),
                    input_tokens=asked,
                    output_tokens=answered,
                    stream=True,
                )


def _asked(rng: np.random.Generator, recordings: Recordings) -> str:
    """Return what a person asks: often something that others ask as well, in words of their own."""
    source: Sequence[str] = recordings.copied if rng.random() < 0.3 else recordings.calls
    words = source[int(rng.integers(len(source)) * rng.random())].split()
    begin = int(rng.integers(max(len(words) - 4, 1)))
    return " ".join(words[begin : begin + int(rng.integers(4, 60))]) if rng.random() < 0.9 else " ".join(words)


def _client(author: _Author, recordings: Recordings, client: _Client, number: int) -> None:
    """One API client: recorded rates, burstiness and lengths; a recorded batch template of its own."""
    rng, plan = author.rng, author.plan
    first_ms = client.windows[0][0]
    account = author.account("api_clients", age_days=0.02 - first_ms / DAY_MS if first_ms > DAY_MS else None)
    templates = sorted(recordings.bulk)
    prompts = recordings.bulk[templates[number % len(templates)]] if number % 4 else recordings.calls
    requests = sum(rate for _, rate, _ in client.windows) * WINDOW_MS / 1_000
    kept = min(1.0, plan.client_cap_per_day * 7 / max(requests, 1e-9))  # seven days were recorded
    for start, rate, cv in client.windows:
        n = int(rng.poisson(rate * kept * WINDOW_MS / 1_000))
        if not n or start >= plan.days * DAY_MS:
            continue
        gaps = rng.gamma(1 / max(cv, 0.05) ** 2, 1.0, n + 1) + 1e-9
        for at in (np.cumsum(gaps)[:-1] / gaps.sum() * WINDOW_MS).tolist():
            author.event(
                account,
                BEGIN_MS + start + at,
                prompts[int(rng.integers(len(prompts)))],
                model=MODELS[number % 2],
                user_turns=1,
                input_tokens=_length(rng, client.knots["input_tokens"]),
                output_tokens=_length(rng, client.knots["output_tokens"]),
                stream=False,
            )


def _length(rng: np.random.Generator, knots: list[list[int]]) -> int | None:
    if not knots:
        return None
    curve = knots[int(rng.integers(len(knots)))]
    return int(np.interp(rng.random() * (len(curve) - 1), np.arange(len(curve)), curve))


def _campaign(author: _Author, prompts: Sequence[str]) -> None:
    """The recorded prompts, dealt out evenly over young accounts behind other people's addresses, day and night."""
    rng, plan = author.rng, author.plan
    days = plan.days - plan.campaign_day
    pool = [f"p-pool-{i}" for i in range(max(1, round(plan.campaign_accounts * plan.shared_payment / 10)))]
    order = rng.permutation(len(prompts))
    asked = 0
    for _ in range(plan.campaign_accounts):
        payment = str(rng.choice(pool)) if rng.random() < plan.shared_payment else None
        account = author.account(
            "campaign", campaign="campaign-1", age_days=float(rng.exponential(2.0)), payment=payment
        )
        joined = plan.campaign_day + rng.random() * min(0.25, days)
        n = int(rng.poisson(plan.campaign_per_day * (plan.days - joined)))
        for at in (joined + (plan.days - joined) * (np.arange(n) + rng.random(n)) / max(n, 1)).tolist():
            text = prompts[int(order[asked % len(prompts)])]
            asked += 1
            tokens = int(min(rng.lognormal(6.2, 0.5), 2_048))
            author.event(
                account,
                BEGIN_MS + at * DAY_MS,
                text,
                model=MODELS[0],
                user_turns=1,
                input_tokens=len(text) // 4,
                output_tokens=tokens,
                max_tokens=2_048,
                temperature=1.0,
                stream=False,
            )

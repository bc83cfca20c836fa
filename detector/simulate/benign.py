"""The everyday benign cohorts: people, developers, tools, API customers.

Modelled on real traces (data/README.md): gaps and session lengths of people (20/107/520 s, about ten
requests) and of agents (p50 4 s, p99 43 s, about 40 calls, 84 % cached), token lengths of chat, code
completion and coding agents, volume Gini of API clients 0.83-0.87, 11-30 % of them always on, 28-45 %
with nearly fixed input length, 19-38 % first seen after day 0, day-to-day swings (max over median day
4, the upper quarter 23). Invention: who they are, from where, how many of each, and the many API
customers who are much smaller than the production clients of that trace. Departures, to keep streams
affordable: no client sends more than 60,000 a day, so `api_large` alone is less unequal than the trace;
people are more active than the 13-month trace (~95 % with at most 7 conversations) would have them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from detector.simulate import writers
from detector.simulate.actors import CAPABILITIES, DAY_MS, FLAT, NIGHTLY, OFFICE, PEOPLE, Table
from detector.simulate.clients import BROWSERS, HARNESSES, SDKS, Fields, hashed, picks
from detector.simulate.networks import NETWORKS
from detector.simulate.setting import Setting

API_TIERS: Final = ("api-1", "api-1", "api-2", "api-2", "api-3", "api-4")
WEB: Final = Fields.SESSION | Fields.TURNS | Fields.TIMING | Fields.ADDRESS
AGENT: Final = Fields.SESSION | Fields.TURNS | Fields.CACHE | Fields.TIMING | Fields.ADDRESS
API: Final = Fields.CACHE | Fields.TIMING | Fields.TURNS | Fields.ADDRESS
BARE: Final = Fields.TIMING | Fields.ADDRESS  # a route whose gateway logs little
CHAT_SYSTEM: Final = 1001  # the chat product's own system prompt: one for everybody
HARNESS_SYSTEMS: Final = 2000


def set_values(table: Table, **values: Any) -> None:
    """Set columns of an actor table."""
    for name, value in values.items():
        table[name] = value


def capability(name: str) -> int:
    """Return the code of a task class."""
    return CAPABILITIES.index(name)


def as_people(rng: np.random.Generator, setting: Setting, table: Table, sessions_per_day: float) -> None:
    """Make actors chat as people do; `sessions_per_day` is the median of a heavy tail."""
    count = len(table)
    set_values(
        table,
        sessions_per_day=np.minimum(np.exp(rng.normal(np.log(sessions_per_day), 1.6, count)), 12.0),
        curve=PEOPLE,
        weekend=0.8,
        turns=6.0,
        turns_sigma=0.95,
        gap_s=107.0,
        gap_sigma=1.0,
        conversation=True,
        input=260.0,
        input_sigma=0.9,
        grow=0.55,
        output=160.0,
        output_sigma=0.73,
        cached=0.5,
        model=rng.integers(0, 2, count),
        writer=writers.CHAT,
        roams=np.where(rng.random(count) < 0.6, 0.35, 0.0),
        prefix_away=NETWORKS.pick(rng, "mobile", count),
        refused=0.004,
    )
    agents = picks(rng, BROWSERS, count)
    labelled = rng.random(count) < 0.5
    table["capability"] = np.where(labelled, rng.integers(2, len(CAPABILITIES), count), -1)
    for row, agent in enumerate(agents.tolist()):
        table["shape"][row] = setting.shapes.add(
            WEB,
            BROWSERS[agent][:2],
            operation="chat",
            stream=True,
            temperature=1.0,
            system_hash=hashed(CHAT_SYSTEM),
            src="web",
        )


def as_developers(rng: np.random.Generator, setting: Setting, table: Table, sessions_per_day: float) -> None:
    """Make actors work in an agent harness: one system prompt over most of them, of every account age."""
    count = len(table)
    set_values(
        table,
        sessions_per_day=np.minimum(np.exp(rng.normal(np.log(sessions_per_day), 1.1, count)), 30.0),
        curve=np.where(rng.random(count) < 0.6, OFFICE, PEOPLE),
        weekend=0.45,
        turns=36.0,
        turns_sigma=0.8,
        gap_s=4.0,
        gap_sigma=1.02,
        input=12_600.0,
        input_sigma=0.8,
        grow=0.004,
        output=89.0,
        output_sigma=1.0,
        cached=0.84,
        conversation=True,
        writer=writers.AGENT,
        model=0,
        day_sigma=0.6,
        fails=0.006,
        limited=0.004,
        retries=3,
        roams=0.1,
        prefix_away=NETWORKS.pick(rng, "mobile", count),
    )
    agents = picks(rng, HARNESSES, count)
    own_tools, thinks = rng.random(count) < 0.3, rng.random(count) < 0.4
    table["capability"] = np.where(rng.random(count) < 0.5, np.where(rng.random(count) < 0.6, 0, 1), -1)
    for row, agent in enumerate(agents.tolist()):
        system = HARNESS_SYSTEMS + (agent if agent > 2 else 0)  # three releases of one product share a prompt
        tools = int(table["account"][row]) * 13 if own_tools[row] else HARNESS_SYSTEMS + 50 + system
        thinking: dict[str, Any] = {"thinking": "enabled", "thinking_budget_tokens": 16_000} if thinks[row] else {}
        table["shape"][row] = setting.shapes.add(
            AGENT | (Fields.REASONING if thinks[row] else Fields(0)),
            HARNESSES[agent][:2],
            operation="messages",
            stream=True,
            max_tokens=32_000,
            system_hash=hashed(system),
            tools_hash=hashed(tools),
            tool_count=15 + tools % 9,
            has_tool_calls=True,
            src="api",
            **thinking,
        )


def as_api_client(
    rng: np.random.Generator, setting: Setting, table: Table, median_per_day: float, sigma: float
) -> None:
    """Make actors API customers with their own template; volumes log-normal (sigma 2 has a Gini of 0.84)."""
    count = len(table)
    burst = np.minimum(
        np.exp(rng.exponential(0.6, count)), 60.0
    )  # most have none: inter-arrival CV 1.2, a few 9 and more
    kind = rng.random(count)
    volume = np.minimum(np.exp(rng.normal(np.log(median_per_day), sigma, count)), 60_000.0)
    fixed = rng.random(count) < 0.36
    nightly = NIGHTLY + rng.integers(0, 6, count)
    set_values(
        table,
        turns=burst,
        turns_sigma=np.where(burst < 1.5, 0.0, 0.6),
        sessions_per_day=volume / burst,
        curve=np.where(kind < 0.24, FLAT, np.where(kind < 0.36, nightly, np.where(kind < 0.75, OFFICE, PEOPLE))),
        weekend=np.where(kind < 0.36, 1.0, 0.4),
        day_sigma=np.where(kind < 0.24, 0.15, np.minimum(np.exp(rng.normal(0.3, 1.2, count)), 3.0)),
        gap_s=np.exp(rng.normal(0.0, 1.2, count)),
        gap_sigma=rng.uniform(0.3, 1.8, count),
        ramp_days=rng.exponential(1.5, count),
        input=np.exp(rng.normal(np.log(1200.0), 0.9, count)),
        input_sigma=np.where(fixed, 0.015, rng.uniform(0.2, 1.1, count)),
        output=np.exp(rng.normal(np.log(110.0), 0.9, count)),
        output_sigma=np.where(rng.random(count) < 0.3, 0.05, 0.7),
        cached=rng.uniform(0.0, 0.9, count),
        model=rng.choice([0, 1, 1, 2], count),
        # some have it in their contract that prompts are not logged
        writer=np.where(rng.random(count) < 0.08, writers.SILENT, writers.BUSINESS),
        key=rng.integers(1, 1 << 62, count),
        fails=0.004,
        limited=0.002,
        capability=np.where(rng.random(count) < 0.4, rng.integers(0, len(CAPABILITIES), count), -1),
    )
    # a quarter of the old accounts begins (again) while we watch: a new project
    begins = rng.random(count) < np.where(table["start_ms"] == setting.begin_ms, 0.25, 0.0)
    table["start_ms"] += np.where(begins, rng.random(count) * 10 * DAY_MS, 0).astype(np.int64)
    few = rng.random(count) < 0.7  # most run on one host, the others on a handful
    set_values(table, host=rng.integers(1, 60_000, count), hosts=np.where(few, 1, rng.integers(2, 40, count)))
    setting.sdk_shapes(rng, table, API)


def people(setting: Setting) -> None:
    """People who chat: sessions, nights, heavy tails; most have a conversation every few weeks."""
    rng = setting.rng("people")
    table = setting.joined(rng, "people", setting.count(0.58), "home", tiers=("free", "free", "free", "pro"))
    as_people(rng, setting, table, 0.06)
    setting.adopts(rng, table, 0.15, 8.0)
    setting.join("people", table)


def developers(setting: Setting) -> None:
    """Developers in a popular agent harness: long loops, many calls a minute, 84 % of the input cached."""
    rng = setting.rng("developers")
    table = setting.joined(
        rng, "developers", setting.count(0.11), "home", tiers=("pro", "team", "api-1", "api-2"), daily=0.01
    )
    as_developers(rng, setting, table, 0.6)
    setting.adopts(rng, table, 0.5, 3.0)
    setting.join("developers", table)


def api_apps(setting: Setting) -> None:
    """Small API customers: 19-38 % first seen after day 0, a ramp on the first days, a quarter always on."""
    rng = setting.rng("api_apps")
    table = setting.joined(rng, "api_apps", setting.count(0.05), "cloud", tiers=API_TIERS, daily=0.012)
    as_api_client(rng, setting, table, 40.0, 2.0)
    setting.adopts(rng, table, 0.03, 25.0)
    setting.join("api_apps", table)


def api_large(setting: Setting) -> None:
    """Production clients of the trace's size: the 5th percentile sends some 500 a day."""
    rng = setting.rng("api_large")
    table = setting.joined(
        rng, "api_large", setting.count(0.0016, 1), "cloud", tiers=("api-4", "api-5", "enterprise"), daily=0.008
    )
    as_api_client(rng, setting, table, 5000.0, 1.4)
    setting.adopts(rng, table, 0.05, 25.0)
    setting.join("api_large", table)


def gateways(setting: Setting) -> None:
    """An LLM gateway, app or reseller: thousands of end users, languages and habits behind one account."""
    rng = setting.rng("gateways")
    table = setting.joined(
        rng, "gateway", setting.count(0.0008, 1), "cloud", tiers=("api-4", "api-5", "enterprise"), daily=0.004
    )
    count = len(table)
    set_values(
        table,
        sessions_per_day=np.minimum(np.exp(rng.normal(np.log(700.0), 1.0, count)), 8000),
        curve=PEOPLE,
        shift_h=rng.uniform(-9, 9, count),
        weekend=0.9,
        turns=3.0,
        turns_sigma=0.9,
        gap_s=70.0,
        gap_sigma=1.1,
        conversation=True,
        input=700.0,
        input_sigma=1.2,
        grow=0.4,
        output=160.0,
        output_sigma=0.9,
        cached=0.3,
        model=rng.integers(0, 2, count),
        writer=writers.MANY,
        end_users=rng.integers(500, 30_000, count),
        host=rng.integers(1, 60_000, count),
        hosts=rng.integers(1, 12, count),
    )
    strips = rng.random(count) < 0.4  # aggregators pass on little
    for row in range(count):
        client = SDKS[picks(rng, SDKS, 1)[0]]
        table["shape"][row] = setting.shapes.add(
            BARE if strips[row] else API | Fields.END_USER | Fields.SESSION,
            client[:2],
            operation="chat",
            stream=True,
            src="api",
        )
    setting.adopts(rng, table, 0.6, 1.0)
    setting.join("gateway", table)


def popular_tools(setting: Setting) -> None:
    """Popular open-source tools: fixed system and user prompts, very many accounts of all ages, heavy-tailed use."""
    rng = setting.rng("popular_tools")
    table = setting.joined(
        rng, "popular_tool", setting.count(0.09), "home", tiers=("pro", "api-1", "api-1", "api-2"), daily=0.008
    )
    tool_of = np.minimum(rng.geometric(0.35, len(table)) - 1, 7)
    _tool_users(rng, setting, table, 500_000 + tool_of, sessions_per_day=0.5)
    setting.join("popular_tool", table)


def niche_tools(setting: Setting) -> None:
    """The long tail of tools: 3 to 300 users each, some of them launched while we watch.

    A launch brings most of its users within days, of all ages and some signed up for it; use is heavy-tailed.
    """
    rng = setting.rng("niche_tools")
    table = setting.joined(
        rng, "niche_tool", setting.count(0.035, 24), "home", tiers=("pro", "api-1", "api-1", "free"), daily=0.01
    )
    count = len(table)
    tools = max(6, count // 14)
    tool_of = (tools ** rng.random(count)).astype(np.int64)  # Zipf: a few have hundreds of users
    launched = rng.random(tools + 1) < 0.3
    launch_ms = setting.begin_ms + (rng.random(tools + 1) * setting.days * 86_400_000).astype(np.int64)
    taken_up = launch_ms[tool_of] + (rng.exponential(1.5, count) * 86_400_000).astype(np.int64)
    table["start_ms"] = np.where(launched[tool_of], np.maximum(table["start_ms"], taken_up), table["start_ms"])
    _tool_users(rng, setting, table, 600_000 + tool_of, sessions_per_day=0.4)
    setting.join("niche_tool", table)


def automation_platform(setting: Setting) -> None:
    """A no-code automation service: its customers' keys, its own addresses, client and default template."""
    rng = setting.rng("automation_platform")
    table = setting.joined(
        rng, "automation_platform", setting.count(0.02), "home", tiers=("api-1", "api-1", "api-2"), daily=0.01
    )
    _tool_users(rng, setting, table, 700_000 + rng.integers(0, 3, len(table)), sessions_per_day=6.0)
    egress = NETWORKS.pick(rng, "cloud", 1)[0]
    set_values(
        table,
        curve=FLAT,
        turns=1.0,
        turns_sigma=0.3,
        prefix=egress,
        host=5120,
        hosts=24,
        weekend=0.6,
        roams=0.0,
        day_sigma=0.9,
    )
    table["shape"] = setting.shapes.add(
        BARE,
        ("Relayflow/4.2", "t13d1714h1_5b57614c22b0_8e6e362c5eac"),
        operation="chat",
        temperature=0.7,
        max_tokens=1000,
        src="api",
    )
    setting.join("automation_platform", table)


def _tool_users(rng: np.random.Generator, setting: Setting, table: Table, tool: Any, sessions_per_day: float) -> None:
    """Users of tools: the tool decides prompt and parameters, the user how often and where."""
    count = len(table)
    set_values(
        table,
        sessions_per_day=np.minimum(np.exp(rng.normal(np.log(sessions_per_day), 1.5, count)), 80.0),
        curve=PEOPLE,
        weekend=0.6,
        turns=2.0,
        turns_sigma=0.8,
        gap_s=30.0,
        gap_sigma=1.2,
        input=900.0,
        input_sigma=1.0,
        output=120.0,
        output_sigma=0.7,
        model=tool % 2,
        writer=writers.TOOL,
        key=tool,
        roams=0.1,
        prefix_away=NETWORKS.pick(rng, "mobile", count),
        cached=0.1,
    )
    settled: dict[int, int] = {}
    for row, number in enumerate(np.asarray(tool).tolist()):
        if number not in settled:
            client = SDKS[int(picks(setting.rng("tool", number), SDKS, 1)[0])]
            parameters: dict[str, Any] = (
                {"temperature": (number % 4) * 0.25} if number % 3 else {"max_tokens": 256 << number % 5}
            )
            settled[number] = setting.shapes.add(
                API,
                client[:2],
                operation="chat",
                system_hash=hashed(number),
                stream=number % 2 == 0,
                src="api",
                **parameters,
            )
        table["shape"][row] = settled[number]


EVERYDAY: Final[tuple[Callable[[Setting], None], ...]] = (
    people,
    developers,
    api_apps,
    api_large,
    gateways,
    popular_tools,
    niche_tools,
    automation_platform,
)

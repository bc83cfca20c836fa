"""How clients ask: software prints, and the request parameters that go with them.

A `Shape` is everything about a request that one client sets the same way each time; it is rendered
to JSON once. That most customers of an SDK leave its defaults alone, and therefore look alike, is
the point: a shape by itself identifies nobody. The prints are invented in the form of real ones.
"""

from __future__ import annotations

import json
from enum import IntFlag
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.simulate.grammar import mixed64


class Fields(IntFlag):
    """Numeric fields that a client's gateway route fills; the others are missing, never zero."""

    SESSION = 1
    TURNS = 2
    CACHE = 4
    TIMING = 8
    ADDRESS = 16
    END_USER = 32
    REASONING = 64  # reasoning tokens, and the reasoning block that a later turn presents


# user agent, TLS print, share among API clients; several versions share one print, as they do
SDKS: Final = (
    ("OpenAI/Python 2.8.1", "t13d1812h1_85036bcba153_d41ae481755e", 16),
    ("OpenAI/Python 1.99.6", "t13d1812h1_85036bcba153_d41ae481755e", 9),
    ("AsyncOpenAI/Python 2.8.1", "t13d1812h1_85036bcba153_d41ae481755e", 10),
    ("Anthropic/Python 0.71.0", "t13d1812h1_85036bcba153_d41ae481755e", 10),
    ("OpenAI/JS 6.9.0", "t13d1714h1_5b57614c22b0_7baf387fc6ff", 9),
    ("Anthropic/JS 0.65.0", "t13d1714h1_5b57614c22b0_7baf387fc6ff", 6),
    ("python-requests/2.32.5", "t13d1812h1_85036bcba153_b0da82dd1658", 7),
    ("axios/1.12.2", "t13d1714h1_5b57614c22b0_3d5424432f57", 5),
    ("Go-http-client/2.0", "t13d1312h2_f57a46bbacb6_ab7e3b40a677", 5),
    ("okhttp/4.12.0", "t13d1614h2_46e7e9700bed_45f260be83e2", 3),
    ("langchain-python/1.0.3", "t13d1812h1_85036bcba153_d41ae481755e", 6),
    ("litellm/1.79.1", "t13d1812h1_85036bcba153_d41ae481755e", 5),
    ("aiohttp/3.13.1", "t13d1812h1_85036bcba153_66d8a4bd1ecd", 3),
    ("Java-http-client/21", "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6", 2),
    ("curl/8.14.1", "t13d3112h2_e8f1e7e78f70_6bebaf5329ac", 2),
    ("node", "t13d1714h1_5b57614c22b0_8e6e362c5eac", 2),
)
BROWSERS: Final = (
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36",
        "t13d1516h2_8daaf6152771_d8a2da3f94cd",
        40,
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36",
        "t13d1516h2_8daaf6152771_d8a2da3f94cd",
        16,
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Version/19.1 Mobile Safari/604.1",
        "t13d2014h2_a09f3c656075_e42f34c56612",
        18,
    ),
    (
        "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/141.0.0.0 Mobile Safari/537.36",
        "t13d1516h2_8daaf6152771_d8a2da3f94cd",
        14,
    ),
    (
        "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
        "t13d1717h2_5b57614c22b0_3cbfd9057e0d",
        6,
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/19.0 Safari/605.1.15",
        "t13d2014h2_a09f3c656075_e42f34c56612",
        6,
    ),
)
HARNESSES: Final = (
    ("tern-cli/2.4.1 (external, cli)", "t13d1714h1_5b57614c22b0_7baf387fc6ff", 55),
    ("tern-cli/2.3.9 (external, cli)", "t13d1714h1_5b57614c22b0_7baf387fc6ff", 20),
    ("tern-vscode/1.18", "t13d1714h1_5b57614c22b0_7baf387fc6ff", 15),
    ("kelp/0.48.0", "t13d1812h1_85036bcba153_d41ae481755e", 7),
    ("opendev/0.12.4", "t13d1812h1_85036bcba153_66d8a4bd1ecd", 3),
)
# what people leave as it came or as the tutorial had it; the share is among API clients
PARAMETERS: Final = (
    ({"operation": "chat"}, 30),
    ({"operation": "chat", "temperature": 0.7}, 12),
    ({"operation": "chat", "temperature": 0.0}, 14),
    ({"operation": "messages", "max_tokens": 1024}, 16),
    ({"operation": "messages", "max_tokens": 4096}, 9),
    ({"operation": "responses"}, 8),
    ({"operation": "chat", "temperature": 0.0, "response_format": "json_object"}, 6),
    ({"operation": "chat", "temperature": 0.2, "max_tokens": 512}, 3),
    ({"operation": "messages", "max_tokens": 8192, "thinking": "enabled", "thinking_budget_tokens": 4000}, 3),
    ({"operation": "chat", "temperature": 1.0, "top_p": 1.0, "max_tokens": 2048}, 3),
    ({"operation": "chat", "response_format": "json_schema", "temperature": 0.0}, 3),
    ({"operation": "chat", "max_tokens": 256, "temperature": 0.3}, 1),
)


def hashed(number: int) -> str:
    """Return 16 hex digits for a system prompt or tool set known by its number."""
    return f"{mixed64(number):016x}"


def picks(rng: np.random.Generator, table: tuple[tuple[Any, ...], ...], count: int) -> npt.NDArray[np.int64]:
    """Return `count` row numbers of a table whose last column is the row's share."""
    shares = np.array([row[-1] for row in table], float)
    return rng.choice(len(table), size=count, p=shares / shares.sum())


class Shapes:
    """All shapes of a simulation: `add` renders one and returns its number; equal ones are one."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.fields: list[int] = []
        self._known: dict[tuple[str, int], int] = {}

    def add(self, fields: Fields, client: tuple[str, str] | None, **parameters: Any) -> int:
        """Return the number of the shape with these fields, this client print and these parameters."""
        values = {"provider": "acme", **parameters}
        if client is not None:
            values |= {"user_agent": client[0], "tls_ja4": client[1]}
        text = json.dumps(values, separators=(",", ":"))[1:-1]
        key = (text, int(fields))
        if key not in self._known:
            self._known[key] = len(self.text)
            self.text.append(text)
            self.fields.append(int(fields))
        return self._known[key]

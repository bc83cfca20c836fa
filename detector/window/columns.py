"""The numbers that signals read: one float32 column per `Column`, one row per judged account.

`..._5M 1H 24H 7D 45D` are sums over the sliding window before the judgement. A count of something
that no request said anything about is NaN, never 0: beside it stands the column of how many knew.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto

from detector.event import F32, U64


class Column(IntEnum):
    """What is known of an account at the time of a judgement."""

    REQUESTS_5M = 0
    REQUESTS_1H = auto()
    REQUESTS_24H = auto()
    REQUESTS_7D = auto()
    REQUESTS_45D = auto()
    INPUT_TOKENS_24H = auto()
    OUTPUT_TOKENS_1H = auto()
    OUTPUT_TOKENS_24H = auto()
    OUTPUT_TOKENS_45D = auto()
    CACHE_READ_TOKENS_24H = auto()
    ACTIVE_HOURS_24H = auto()  # hours of the clock with a request, of the last 24
    OUTCOMES_24H = auto()  # requests whose outcome is known
    REFUSED_24H = auto()
    FAILED_24H = auto()  # error, rate limited or blocked
    TURNS_24H = auto()  # requests whose number of turns is known
    SINGLE_TURN_24H = auto()
    OUTPUTS_24H = auto()  # requests whose output length is known
    LONG_OUTPUTS_24H = auto()
    LIMITS_24H = auto()  # requests that named max_tokens, as did the one before
    SAME_LIMITS_24H = auto()  # ... and named the same
    SAMPLINGS_24H = auto()  # requests whose n or log-probabilities are known
    MANY_SAMPLES_24H = auto()  # n > 1, or log-probabilities asked for
    TEXTS_24H = auto()  # requests with a sketch
    EXTRACTIONS_24H = auto()
    GRADINGS_24H = auto()
    PROBES_24H = auto()
    BLOCKS_24H = auto()  # presented reasoning blocks whose issuer is known
    FOREIGN_BLOCKS_24H = auto()
    GAPS_24H = auto()  # pauses between consecutive requests
    GAP_OCTAVES_24H = auto()  # standard deviation of their logarithm, base 2
    ADDRESSES_24H = auto()  # distinct, over 24 to 36 hours, as are the next four
    NETWORKS_24H = auto()
    CLIENTS_24H = auto()
    END_USERS_24H = auto()
    HARNESSES_24H = auto()  # system prompts
    TEMPLATES_24H = auto()  # requests counted in ...
    TEMPLATE_EVENNESS_24H = auto()  # 0: one template, 1: spread evenly over many
    CAPABILITIES = auto()  # requests with a capability label since first seen
    TOP_CAPABILITY = auto()  # of them, those of the most frequent
    AGE_DAYS = auto()  # since sign-up
    SEEN_DAYS = auto()  # since the first request seen
    TIER = auto()  # index into account.TIERS
    QUOTA_TOKENS = auto()  # per day


@dataclass(frozen=True, slots=True)
class AccountColumns:
    """Columns over n judged accounts. `values` is [len(Column), n]; `account` the hash of each id."""

    values: F32
    account: U64

    def __getitem__(self, column: Column) -> F32:
        """Return one column, [n]."""
        row: F32 = self.values[column]
        return row

    def at(self, column: Column, row: int) -> float:
        """Return one number."""
        return float(self.values[column, row])

    def __len__(self) -> int:
        return len(self.account)

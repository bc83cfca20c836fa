"""The accounts: what the account system knows of them, and whose they really are.

Benign sign-ups never stop: besides those who were there before the first event (ages log-normal,
median half a year) new ones come every day, so that being young means little. Payment prints are
one's own, an organisation's or a family's; card BINs, e-mail domains and programmes are shared by
strangers, as they are. All figures here are invention.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np

from detector.account import AccountRecord
from detector.simulate.actors import DAY_MS, I64
from detector.simulate.grammar import mixed64
from detector.simulate.networks import NETWORKS

DOMAINS: Final = (
    "gmail.com",
    "outlook.com",
    "yahoo.com",
    "icloud.com",
    "hotmail.com",
    "proton.me",
    "qq.com",
    "gmx.de",
    "163.com",
    "web.de",
    "mail.ru",
    "naver.com",
    "orange.fr",
    "live.com",
    "fastmail.com",
    "yandex.ru",
    "zoho.com",
    "wp.pl",
    "libero.it",
    "uol.com.br",
)
DISPOSABLE: Final = ("tempinbox.dev", "mailnull.net", "getairmail.co", "burnerbox.io", "10min.email", "inboxkitten.org")
BINS: Final = 300  # card BINs in use; skewed, so that the first few hold a third of all cards
BANNED: Final = "banned"


@dataclass(slots=True)
class Roster:
    """All accounts in the order they were made; a cohort adds its own and gets their numbers."""

    seed: int
    records: list[AccountRecord] = field(default_factory=list)
    later: list[AccountRecord] = field(default_factory=list)  # bans and other changes
    truth: list[dict[str, str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # the JSON that an account's events share

    def add(
        self,
        rng: np.random.Generator,
        cohort: str,
        created_ms: I64,
        *,
        tiers: tuple[str, ...] = ("free", "pro"),
        prefixes: I64,
        org: str | None = None,
        domain: str | None = None,
        payment: str | None = None,
        programme: Literal["education", "research", "startup"] | None = None,
        disposable: float = 0.01,
        verified: float = 0.7,
        campaign: str | None = None,
        **shared: Any,
    ) -> I64:
        """Add one account per creation time and return their numbers.

        `shared` holds record fields given for all, or one per account as a list.
        """
        begin = len(self.records)
        count = len(created_ms)
        tier = rng.integers(0, len(tiers), count).tolist()
        drawn = rng.random((4, count)).tolist()
        host = rng.integers(1, 65_000, count).tolist()
        for row, (created, prefix) in enumerate(zip(created_ms.tolist(), prefixes.tolist(), strict=True)):
            number = mixed64(self.seed * 1_000_003 + begin + row)
            account_id = f"acct_{number:016x}"
            pays = payment is not None or tiers[tier[row]] != "free"
            throwaway = drawn[0][row] < disposable
            fields: dict[str, Any] = {
                "created_ms": created,
                "org_id": org,
                "tier": tiers[tier[row]],
                "programme": programme,
                "payment_fp": (payment or f"pay_{mixed64(number + 1):012x}") if pays else None,
                "card_bin": f"{400_000 + int(drawn[1][row] ** 3 * BINS) * 613}"
                if pays and drawn[2][row] < 0.9
                else None,
                "email_domain": (
                    DISPOSABLE[number % len(DISPOSABLE)]
                    if throwaway
                    else domain or DOMAINS[int(drawn[3][row] ** 3 * len(DOMAINS))]
                ),
                "email_disposable": throwaway,
                "signup_ip": NETWORKS.text(prefix << 16 | host[row] % int(NETWORKS.hosts[prefix])),
                "signup_asn": int(NETWORKS.asn[prefix]),
                "country": NETWORKS.country[prefix],
                "verified": number % 1000 < 1000 * verified,
            }
            for name, value in shared.items():
                given = value[row] if isinstance(value, list) else value
                if given is not None:
                    fields[name] = given
            self.records.append(AccountRecord(account_id=account_id, status="active", **fields))
            label = {"account_id": account_id, "label": "campaign" if campaign else "benign", "cohort": cohort}
            if campaign:
                label["campaign_id"] = campaign
            self.truth.append(label)
            key = f'"account_id":"{account_id}","key_id":"{mixed64(number + 2):016x}"'
            self.texts.append(key + (f',"org_id":"{fields["org_id"]}"' if fields["org_id"] else ""))
        return np.arange(begin, begin + count)

    def ban(self, account: int, time_ms: int) -> None:
        """Let the account system ban an account at an event time."""
        old = self.records[account]
        fields = {name: getattr(old, name) for name in old.__struct_fields__}
        self.later.append(AccountRecord(**{**fields, "status": BANNED, "status_ms": time_ms}))


def creations(rng: np.random.Generator, count: int, begin_ms: int, days: float, daily_share: float) -> I64:
    """Return creation times: `count` accounts before `begin_ms`, and `daily_share` of that number per day after it."""
    ages_days = np.minimum(np.exp(rng.standard_normal(count) * 1.2) * 180.0, 1400.0)
    new = rng.poisson(count * daily_share * days)
    return np.concatenate(
        [
            begin_ms - (ages_days * DAY_MS).astype(np.int64) - 1,
            np.sort(begin_ms + (rng.random(new) * days * DAY_MS).astype(np.int64)),
        ]
    )

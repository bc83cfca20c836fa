"""What the account system says of an account (`AccountRecord`): `llm.accounts.v1` of the contract."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

TIERS: Final = ("free", "pro", "team", "enterprise", "api-1", "api-2", "api-3", "api-4", "api-5")
Status = Literal["active", "limited", "suspended", "banned"]


class AccountRecord(msgspec.Struct, gc=False, kw_only=True, frozen=True, omit_defaults=True):
    """One record. It takes effect at `status_ms`, or else `created_ms`, in event time."""

    account_id: str = ""  # required on the topic and in files; inside an event the event's own
    created_ms: int | None = None
    org_id: str | None = None
    tier: str | None = None
    programme: str | None = None
    payment_fp: str | None = None
    card_bin: str | None = None
    email_domain: str | None = None
    email_disposable: bool | None = None
    signup_ip: str | None = None
    signup_asn: int | None = None
    country: str | None = None
    verified: bool | None = None
    quota_tokens_per_day: int | None = None
    status: Status | None = None
    status_ms: int | None = None

    @property
    def effective_ms(self) -> int:
        """Event time from which the record is known; 0 when it names no time."""
        if self.status_ms is not None:
            return self.status_ms
        return self.created_ms or 0

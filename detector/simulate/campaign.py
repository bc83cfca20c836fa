"""Campaigns: a pool of accounts, a work list, an operator who spreads one over the other.

    work list ─► operator ─► accounts (young, aged, churned, banned) ─► addresses (proxies) ─► requests
                    │
                    └ timing: lockstep (bursts that all join), balanced (round robin), human (own rhythms)

Modelled on what is public (domain.md): exchanges per account and day, pool sizes, even load over the
accounts, residential proxies, bought accounts, succession within hours of a ban, a probing phase with
many refusals, the move to a new model within a day, unrelated customers mixed into the same accounts.
How operators schedule inside a day is invention.
"""

"""Where requests come from: access networks with addresses as real ones hand them out.

The autonomous systems are real ones with their kind and country; the prefixes are invented, and so
is everybody's place in them. What is meant to be true to life:

- a home address is leased for days and then changes; nobody else has it at the time, mostly;
- a mobile carrier puts thousands of people behind a few addresses (carrier-grade NAT);
- VPN exits are shared by strangers; a cloud fleet has fresh addresses all the time;
- a residential proxy *is* a home address: its prefixes are those of ordinary people.

An address is an integer: prefix index << 16 | host. A /16 of IPv4 or a /32 of IPv6, whose 16-bit
host part is a /48, so that "prefix" means the same to a reader of the events in both families.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detector.simulate.grammar import mixed64

# asn, country, hours from UTC, kind, prefixes of IPv4, prefixes of IPv6, share of its kind
_SYSTEMS: Final = (
    (7922, "US", -5, "home", 24, 6, 10),
    (7018, "US", -6, "home", 16, 4, 7),
    (701, "US", -5, "home", 12, 0, 4),
    (20115, "US", -8, "home", 12, 4, 5),
    (3320, "DE", 1, "home", 14, 6, 5),
    (3209, "DE", 1, "home", 8, 3, 2),
    (2856, "GB", 0, "home", 10, 4, 4),
    (5089, "GB", 0, "home", 8, 0, 2),
    (3215, "FR", 1, "home", 12, 5, 4),
    (12322, "FR", 1, "home", 8, 6, 2),
    (3352, "ES", 1, "home", 10, 0, 3),
    (3269, "IT", 1, "home", 10, 0, 3),
    (1136, "NL", 1, "home", 6, 3, 2),
    (17676, "JP", 9, "home", 10, 4, 3),
    (4766, "KR", 9, "home", 10, 0, 2),
    (9829, "IN", 5, "home", 12, 0, 4),
    (7738, "BR", -3, "home", 12, 4, 4),
    (8151, "MX", -6, "home", 8, 0, 2),
    (577, "CA", -5, "home", 8, 2, 2),
    (1221, "AU", 10, "home", 8, 2, 2),
    (4134, "CN", 8, "home", 14, 0, 1),
    (4837, "CN", 8, "home", 10, 0, 1),
    (9506, "SG", 8, "home", 4, 0, 1),
    (5617, "PL", 1, "home", 6, 0, 1),
    (21928, "US", -6, "mobile", 6, 8, 6),
    (22394, "US", -5, "mobile", 4, 6, 4),
    (55836, "IN", 5, "mobile", 8, 8, 6),
    (45609, "IN", 5, "mobile", 6, 0, 3),
    (23693, "ID", 7, "mobile", 5, 0, 3),
    (16135, "TR", 3, "mobile", 4, 0, 2),
    (12430, "ES", 1, "mobile", 3, 0, 2),
    (30722, "IT", 1, "mobile", 3, 0, 2),
    (26599, "BR", -3, "mobile", 5, 3, 3),
    (37457, "ZA", 2, "mobile", 3, 0, 2),
    (9299, "PH", 8, "mobile", 4, 0, 2),
    (13335, "US", -5, "vpn", 4, 2, 3),
    (9009, "GB", 0, "vpn", 4, 0, 3),
    (212238, "NL", 1, "vpn", 3, 0, 2),
    (60068, "DE", 1, "vpn", 3, 0, 2),
    (16509, "US", -5, "cloud", 16, 0, 6),
    (14618, "US", -5, "cloud", 8, 0, 4),
    (15169, "US", -6, "cloud", 8, 4, 3),
    (396982, "US", -6, "cloud", 8, 0, 3),
    (8075, "US", -6, "cloud", 10, 0, 4),
    (16276, "FR", 1, "cloud", 6, 0, 2),
    (24940, "DE", 1, "cloud", 6, 4, 2),
    (14061, "US", -5, "cloud", 6, 0, 2),
    (45102, "CN", 8, "cloud", 5, 0, 1),
    (174, "US", -5, "office", 8, 0, 4),
    (3356, "US", -6, "office", 8, 0, 4),
    (1299, "DE", 1, "office", 6, 0, 3),
    (2914, "JP", 9, "office", 5, 0, 2),
    (6461, "GB", 0, "office", 5, 0, 2),
    (3257, "FR", 1, "office", 4, 0, 2),
    (32, "US", -8, "campus", 1, 0, 1),
    (3, "US", -5, "campus", 1, 0, 1),
    (73, "US", -8, "campus", 1, 0, 1),
    (786, "GB", 0, "campus", 4, 0, 2),
    (680, "DE", 1, "campus", 4, 0, 2),
    (2200, "FR", 1, "campus", 3, 0, 1),
    (1103, "NL", 1, "campus", 2, 0, 1),
    (55824, "IN", 5, "campus", 3, 0, 2),
    (4538, "CN", 8, "campus", 3, 0, 1),
)
MOBILE_HOSTS: Final = 12  # public addresses of one carrier prefix, for the part of its people that we see
VPN_HOSTS: Final = 40


@dataclass(frozen=True, slots=True)
class Networks:
    """All prefixes: one row each, and the JSON that an address in it begins with."""

    asn: npt.NDArray[np.int64]
    utc_offset_h: npt.NDArray[np.float64]
    hosts: npt.NDArray[np.int64]
    ipv6: npt.NDArray[np.bool_]
    country: tuple[str, ...]
    start: tuple[str, ...]  # the part of the address before the host
    of_kind: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]  # kind -> prefixes, shares

    def pick(self, rng: np.random.Generator, kind: str, count: int) -> npt.NDArray[np.int64]:
        """Return `count` prefix indices of a kind, by the shares of its systems."""
        prefixes, shares = self.of_kind[kind]
        return prefixes[rng.choice(len(prefixes), size=count, p=shares)]

    def text(self, address: int) -> str:
        """Return an address as people write it."""
        prefix, host = address >> 16, address & 0xFFFF
        return self.start[prefix] + (f"{host:x}::1" if self.ipv6[prefix] else f"{host >> 8}.{host & 255}")


def _build() -> Networks:
    asn: list[int] = []
    offset: list[float] = []
    hosts: list[int] = []
    ipv6: list[bool] = []
    country: list[str] = []
    start: list[str] = []
    kinds: dict[str, tuple[list[int], list[float]]] = {}
    for number, where, hours, kind, four, six, share in _SYSTEMS:
        for position in range(four + six):
            drawn = mixed64(number * 100 + position)
            prefixes, shares = kinds.setdefault(kind, ([], []))
            prefixes.append(len(asn))
            shares.append(share / (four + six))
            asn.append(number)
            offset.append(hours)
            hosts.append(65_000 if position >= four else {"mobile": MOBILE_HOSTS, "vpn": VPN_HOSTS}.get(kind, 65_000))
            ipv6.append(position >= four)
            country.append(where)
            if position >= four:
                start.append(f"2a{drawn % 16:x}{drawn >> 8 & 15:x}:{drawn >> 16 & 0xFFFF | 1:x}:")
            else:
                start.append(f"{24 + drawn % 190 if drawn % 190 != 103 else 81}.{drawn >> 16 & 255}.")
    of_kind = {
        kind: (np.array(prefixes), np.array(shares) / np.sum(shares)) for kind, (prefixes, shares) in kinds.items()
    }
    return Networks(
        np.array(asn), np.array(offset, float), np.array(hosts), np.array(ipv6), tuple(country), tuple(start), of_kind
    )


NETWORKS: Final = _build()

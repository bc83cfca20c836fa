"""Stage 3 as a stage: campaigns, the verdicts that follow from what is found, and the journal that keeps both.

What was decided in shadow was delivered to nobody. A row beside the journal says that its records were absorbed so,
and they are repeated so; a worker that takes over out of shadow begins a new journal, and what is open is told anew at
its next change, with all of its accounts and their verdicts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, get_args

from detector.finding import Severity, encode
from detector.stages.campaigns import COUNTED, CampaignPartition, CampaignSettings, Observer
from detector.stages.journal import Journal
from detector.stages.rules import rules_of
from detector.stores import Message, read_back
from detector.verdict import Change, VerdictPolicy, Verdicts

SHADOW: Final = "shadow"  # the row


class Issuing:
    """A campaign partition, and the verdicts that follow from its findings; `stages.Journalled`."""

    def __init__(self, campaigns: CampaignPartition, verdicts: Verdicts) -> None:
        """Join the two, both new."""
        self.campaigns = campaigns
        self.verdicts = verdicts

    def absorb(self, value: bytes) -> list[Message]:
        """Take one record; return the findings of the steps that it closed, each with the verdicts that it changes.

        Whichever steps a record closes, a verdict ends after the findings of the step before its end, and before
        those of the step that ends with it.
        """
        messages: list[Message] = []
        for finding in self.campaigns.absorb(value):
            messages += _told(self.verdicts.expire(finding.time_ms))
            messages.append(Message("findings", None, finding.subject, encode(finding)))
            messages += _told(self.verdicts.absorb(finding))
        messages += _told(self.verdicts.expire((self.campaigns.waiting.done + 1) * self.campaigns.settings.cadence_ms))
        return messages

    def dump(self) -> dict[str, bytes]:
        """Return the whole state."""
        return {**self.campaigns.dump(), "verdicts": self.verdicts.dump()}

    def load(self, parts: dict[str, bytes]) -> None:
        """Become the dumped state."""
        self.campaigns.load(parts)
        self.verdicts.load(parts["verdicts"])


def _told(changes: list[Change]) -> list[Message]:
    return [
        Message("verdicts", None, account_id, None if verdict is None else encode(verdict))
        for account_id, verdict in changes
    ]


class CampaignStage:
    """The one partition, where this worker owns it."""

    name = "campaigns"

    def __init__(
        self,
        settings: CampaignSettings,
        policy: VerdictPolicy | None = None,
        *,
        durable: bool = True,
        observer: Observer | None = None,
    ) -> None:
        """`durable=False` keeps no journal: a replay starts over rather than from a store."""
        self._observer = observer
        self._settings = settings
        self._policy = policy or VerdictPolicy()
        self._durable = durable
        self._rules = rules_of(replace(settings, shadow=False), self._policy)  # a row of its own says that
        self.counts = {"steps": 0}
        self.dropped = dict.fromkeys(COUNTED, 0)
        self._state: dict[int, Issuing] = {}
        self._journals: dict[int, Journal] = {}
        self._outbox: dict[int, list[Message]] = {}
        self._turned: set[int] = set()  # partitions whose row of SHADOW is not yet as it should be

    def assign(self, partition: int, rows: dict[str, bytes]) -> None:
        """Start (again) from the rows of the last commit; what a foreign journal brings is to be published.

        Some of that was published before, under the same ids, as after a restored backup.
        """
        shadow = SHADOW in rows
        campaigns = CampaignPartition(replace(self._settings, shadow=shadow), self._observer)
        state, journal = Issuing(campaigns, Verdicts(self._policy)), Journal(self._rules)
        with read_back(f"campaigns:{partition}"):
            told = [message for record in journal.restore(rows, state) for message in state.absorb(record)]
        campaigns.dropped = self.dropped  # from here on: what a journal repeats was counted
        campaigns.settings = self._settings
        self._turned.discard(partition)
        if shadow != self._settings.shadow:
            self._turned.add(partition)
            if rows:
                journal.begin_anew()
        if shadow and not self._settings.shadow:
            campaigns.tell_anew()
        self._state[partition], self._journals[partition] = state, journal
        self._outbox[partition] = told if journal.foreign else []

    def revoke(self, partition: int) -> None:
        """Forget the partition."""
        for held in (self._state, self._journals, self._outbox):
            held.pop(partition, None)

    def absorb(self, partition: int, values: list[bytes]) -> None:
        """Take candidate records in the order of the partition; raise DecodeError at one that is not."""
        state = self._state[partition]
        for value in values:
            before = state.campaigns.waiting.done
            self._outbox[partition] += state.absorb(value)
            self.counts["steps"] += state.campaigns.waiting.done > before
            if self._durable:
                self._journals[partition].append(value)

    def drain(self, partition: int) -> tuple[dict[str, bytes | None], list[Message]]:
        """Return the rows changed since the last drain and what to publish, and forget both."""
        outbox, self._outbox[partition] = self._outbox[partition], []
        rows = self._journals[partition].rows(self._state[partition])
        if rows and partition in self._turned:
            self._turned.discard(partition)
            rows[SHADOW] = b"1" if self._settings.shadow else None
        return rows, outbox

    def tell_anew(self) -> None:
        """Let every alert that is open begin again at its next change; verdicts stand as they were issued."""
        for state in self._state.values():
            state.campaigns.tell_anew()

    def waiting(self, partition: int) -> bool:
        """Return whether a drain would give something to publish."""
        return bool(self._outbox[partition])

    def clock_ms(self, partition: int) -> int:
        """Return the end of the last step that any source has closed; -1 before."""
        last = max(self._state[partition].campaigns.waiting.closed.values(), default=-1)
        return (last + 1) * self._settings.cadence_ms if last >= 0 else -1

    def sizes(self) -> dict[str, int]:
        """Return what is held: accounts, links, edges, campaigns."""
        held = [state.campaigns for state in self._state.values()]
        return {
            "accounts": sum(len(p.accounts) for p in held),
            "links": sum(len(p.links) for p in held),
            "edges": sum(len(p.edges) for p in held),
            "campaigns": sum(len(p.campaigns) for p in held),
        }

    def standing(self) -> dict[Severity, int]:
        """Return the number of campaigns by severity."""
        found = dict.fromkeys(get_args(Severity), 0)
        for state in self._state.values():
            for campaign in state.campaigns.campaigns.values():
                found[campaign.severity] += 1
        return found

"""The whole flow, on one screen.

    batch of events ─► accounts ─► observations ─► links ─► candidates ─► campaigns ─► findings

Live, the three stages are agents joined by Kafka topics; here they are joined by function calls.
They are the same objects with the same inputs as bytes, so what holds of one holds of the other:
the same events give the same findings, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from detector.account import AccountRecord
from detector.event import EventBatch
from detector.stages.accounts import AccountSettings, AccountStage
from detector.stages.campaigns import CampaignSettings, Observer
from detector.stages.issuing import CampaignStage
from detector.stages.links import LinkSettings, LinkStage
from detector.stores import Message
from detector.verdict import VerdictPolicy


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """The settings of the three stages, which agree on partitions, cadence and key."""

    accounts: AccountSettings
    links: LinkSettings
    campaigns: CampaignSettings
    verdicts: VerdictPolicy = VerdictPolicy()


class Campaigns(Protocol):
    """What the pipeline needs of the campaign stage."""

    def absorb(self, partition: int, values: list[bytes]) -> None: ...
    def drain(self, partition: int) -> tuple[dict[str, bytes | None], list[Message]]: ...
    def tell_anew(self) -> None: ...


class Pipeline:
    """All partitions of all stages, with no store behind them."""

    def __init__(
        self, settings: PipelineSettings, observer: Observer | None = None, campaigns: Campaigns | None = None
    ) -> None:
        """Start every partition from nothing; `observer` is told of every group that stage 3 reads.

        `campaigns` is stage 3, new, where it is elsewhere; `observer` is of the one here.
        """
        self.accounts = AccountStage(settings.accounts, durable=False)
        self.links = LinkStage(settings.links, durable=False)
        self.campaigns = campaigns or _campaigns(settings, observer)
        self._sources = range(settings.links.sources)
        self._link_partitions = range(settings.campaigns.sources)
        for partition in self._sources:
            self.accounts.assign(partition, {})
        for partition in self._link_partitions:
            self.links.assign(partition, {})

    def learn(self, records: Iterable[AccountRecord]) -> None:
        """Take account records; each is known from its own event time on."""
        self.accounts.learn(records)

    def feed(self, batch: EventBatch) -> list[Message]:
        """Take events in arrival order; return what is published: findings, verdicts."""
        self.accounts.absorb(batch)
        return self._pass_on()

    def tell_anew(self) -> None:
        """Let every alert that is open be raised again, with all of its accounts, at its next change."""
        self.campaigns.tell_anew()

    def finish(self) -> list[Message]:
        """Close every step that is open: no more events will come."""
        self.accounts.finish()
        return self._pass_on()

    def _pass_on(self) -> list[Message]:
        for source in self._sources:
            for message in self.accounts.drain(source)[1]:
                self.links.absorb(message.partition or 0, [message.value or b""])
        for partition in self._link_partitions:
            for message in self.links.drain(partition)[1]:
                self.campaigns.absorb(0, [message.value or b""])
        return self.campaigns.drain(0)[1]


def _campaigns(settings: PipelineSettings, observer: Observer | None) -> CampaignStage:
    stage = CampaignStage(settings.campaigns, settings.verdicts, durable=False, observer=observer)
    stage.assign(0, {})
    return stage

"""How many events a second one core decodes: msgspec alone, and all the way to columns.

    python -m tests.bench.decode [--events 50000]

Events are plain ones of some 450 bytes with 20 fields, in batches of 5,000, 20,000 accounts, one
address per event. Processor time, the best of five rounds: the machine may have other work.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import click
import msgspec

from detector.decoders import decode
from detector.event import RequestEvent

BATCH = 5_000


def plain_events(count: int) -> list[bytes]:
    """Return `count` encoded events."""
    draw = random.Random(1)
    return [
        msgspec.json.encode(
            {
                "id": f"req-{draw.getrandbits(64):016x}",
                "time_ms": 1_780_000_000_000 + i * 7,
                "account_id": f"acct-{draw.randrange(20_000):06d}",
                "session_id": f"s-{draw.getrandbits(40):010x}",
                "model": "frontier-5",
                "operation": "chat",
                "status": 200,
                "outcome": "ok",
                "duration_ms": 1234.5,
                "input_tokens": draw.randrange(5_000),
                "output_tokens": draw.randrange(900),
                "stream": True,
                "max_tokens": 4096,
                "temperature": 0.7,
                "message_count": 3,
                "system_hash": f"{draw.randrange(50) * 0x123456789ABCD:016x}",
                "ip": f"10.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(256)}",
                "asn": draw.randrange(60_000),
                "user_agent": "openai-python/3.54.0",
                "tls_ja4": "t13d1516h2_8daaf6152771",
            }
        )
        for i in range(count)
    ]


@click.command()
@click.option("--events", default=50_000, show_default=True)
def main(events: int) -> None:
    """Print events per second of msgspec alone and of `decode`."""
    values = plain_events(events)
    batches = [values[i : i + BATCH] for i in range(0, len(values), BATCH)]
    alone = msgspec.json.Decoder(RequestEvent).decode
    click.echo(f"{events} events, {sum(map(len, values)) / events:.0f} bytes each")
    ways: dict[str, Callable[[list[bytes]], object]] = {
        "msgspec alone": lambda batch: list(map(alone, batch)),
        "to columns": lambda batch: decode(batch, 0, hash_key=7),
    }
    for name, way in ways.items():
        rounds = []
        for _ in range(5):
            started = time.process_time()
            for batch in batches:
                way(batch)
            rounds.append(time.process_time() - started)
        click.echo(f"{name:14} {events / min(rounds):>10,.0f} events/s")


if __name__ == "__main__":
    main()

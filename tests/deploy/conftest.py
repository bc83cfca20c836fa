from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    return ROOT / ".cache" / "kafka"

"""What deploy/README.md tells operators to type is what the worker needs, no more and no less."""

import re
from pathlib import Path

from detector import config as configuration
from detector.runtime import access

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "deploy/README.md").read_text()


def test_the_rights_in_the_guide_are_those_that_the_worker_asks_for() -> None:
    config = configuration.load(None, {"DETECTOR_VERDICTS_ENFORCE": "true"})
    granted = {
        topic: {operation.upper() for operation in re.findall(r"--operation (\w+)", operations)}
        for operations, topic in re.findall(r"^acl ((?:--operation \w+ )+)--topic (\S+)$", GUIDE, re.MULTILINE)
    }
    needed = {topic: {one.name for one in operations} for topic, operations in access.needed(config).items()}
    assert granted == needed
    assert f"acl --operation Read --group {config.kafka.group}\n" in GUIDE
    assert f"acl --operation Write --transactional-id {access.transactions(config.kafka)}\n" in GUIDE


def test_every_setting_that_the_guide_names_exists() -> None:
    known = {setting.name for setting in configuration.settings()}
    sections = {name.split(".")[0] for name in known}
    named = {name for name in re.findall(r"`([a-z_]+\.[a-z_]+)(?: = \w+)?`", GUIDE) if name.split(".")[0] in sections}
    assert len(named) > 8
    assert named <= known


def test_files_that_the_guide_links_to_are_there() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", GUIDE):
        assert (ROOT / "deploy" / target).exists(), target

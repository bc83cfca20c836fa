"""The containers, as far as it can be known without an engine."""

import importlib.util
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from detector import config
from detector.cli import command as detector
from detector.runtime import servers

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"] == "detector:local")
WORKERS = ["detector-1", "detector-2"]
ONE_SHOT = {"topics"}
# Images whose own user is not root (apache/kafka: appuser); everything else says `user`.
NOT_ROOT_BY_ITSELF = {"kafka"}

each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def test_the_compose_file_follows_the_compose_specification() -> None:
    package = importlib.util.find_spec("check_jsonschema")
    schema = Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.Draft7Validator(json.loads(schema.read_text())).validate(COMPOSE)


@each_service
def test_no_service_is_root_or_may_become_it(name: str) -> None:
    service = SERVICES[name]
    if name not in NOT_ROOT_BY_ITSELF:
        assert str(service["user"]).partition(":")[0] not in {"0", "root"}
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")


@each_service
def test_every_port_is_bound_to_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


def test_no_two_services_want_the_same_port() -> None:
    ports = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == len(set(ports))


@each_service
def test_every_service_has_limits_and_a_pinned_image(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["pids_limit"]
    _, _, tag = service["image"].partition(":")
    assert tag
    assert tag != "latest"


@each_service
def test_file_systems_are_read_only_except_kafkas(name: str) -> None:
    assert SERVICES[name]["read_only"] is (name != "kafka")


@each_service
def test_who_is_waited_for_can_say_that_it_is_ready(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other], f"{name} waits for {other}"
        else:
            assert other in ONE_SHOT


@each_service
def test_what_is_mounted_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert volume.endswith(":ro"), volume
        else:
            assert source in COMPOSE["volumes"]


def natively(name: str) -> list[str]:
    """Return the command line of one of our services with its mounted files where they are in the repository."""
    mounts = dict(volume.split(":")[1::-1] for volume in SERVICES[name].get("volumes", []) if volume.startswith("."))
    return [str(ROOT / mounts[word]) if word in mounts else word for word in SERVICES[name]["command"]]


@pytest.mark.parametrize("name", OURS)
def test_each_command_of_ours_is_understood_with_the_same_flags(name: str) -> None:
    command: click.Command = detector
    words = natively(name)
    context = click.Context(detector, info_name="detector")
    while isinstance(command, click.Group):
        found, resolved, words = command.resolve_command(context, words)
        assert resolved is not None, f"no command {found}"
        command = resolved
        context = click.Context(command, parent=context, info_name=found)
    command.make_context(command.name, list(words), parent=context.parent)  # parses, does not run


@pytest.mark.parametrize("name", OURS)
def test_the_environment_of_our_services_is_accepted(name: str) -> None:
    settings = config.load(ROOT / "deploy" / "detector.toml", SERVICES[name].get("environment", {}))
    assert settings.kafka.brokers == "kafka:9092"
    assert settings.store.url == "redis://redis:6379/0"


def test_workers_can_be_scraped_and_asked_from_outside_their_container() -> None:
    settings = config.load(ROOT / "deploy" / "detector.toml", SERVICES["detector-1"]["environment"])
    assert settings.web.host == "0.0.0.0"
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    assert scraped["static_configs"][0]["targets"] == [f"{name}:{settings.web.port}" for name in WORKERS]
    for name in WORKERS:
        assert str(settings.web.port) in SERVICES[name]["healthcheck"]["test"][-1]
        assert SERVICES[name]["ports"][0].endswith(f":{settings.web.port}")


def test_kafkas_environment_is_a_configuration_that_kafka_takes(tmp_path: Path) -> None:
    # The image's rule: KAFKA_A_B__C is a.b_c.
    properties = {
        key.removeprefix("KAFKA_").replace("__", "\0").replace("_", ".").replace("\0", "_").lower(): value
        for key, value in SERVICES["kafka"]["environment"].items()
        if key.startswith("KAFKA_") and key != "KAFKA_HEAP_OPTS"
    }
    properties["log.dirs"] = str(tmp_path / "data")
    file = tmp_path / "server.properties"
    file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    cluster = SERVICES["kafka"]["environment"]["CLUSTER_ID"]
    tool = ["kafka.tools.StorageTool"]
    done = subprocess.run(
        ["java", "-Xmx128m", "-cp", f"{servers._jars()}/*", *tool, "format", "-t", cluster, "-c", file],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "data" / "meta.properties").exists()


def dockerfile() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def final_stage() -> list[tuple[str, str]]:
    steps = dockerfile()
    return steps[max(i for i, (word, _) in enumerate(steps) if word == "FROM") :]


def test_the_final_image_is_not_root_and_has_nothing_to_build_with() -> None:
    steps = final_stage()
    assert [what for word, what in steps if word == "USER"] == ["10001:10001"]
    ran = " ".join(what for word, what in steps if word == "RUN")
    for tool in ("apt-get", "gcc", "pip install", "curl"):
        assert tool not in ran
    assert "pip uninstall" in ran


def test_the_image_brings_its_machine_code_and_finds_it_by_what_it_was_compiled_with() -> None:
    """Nothing can be written where it runs (`test_compiled.py` does with a folder what the image does)."""
    told = [what for word, what in dockerfile() if word == "ENV" and "NUMBA" in what]
    assert len(told) == 2
    assert told[0] == told[1]
    assert "NUMBA_CPU_NAME=generic" in told[0]
    assert "NUMBA_CACHE_LOCATOR_CLASSES=detector.likeness.compiled.Shipped" in told[0]
    assert any("-m detector.runtime.compiling" in what for word, what in dockerfile() if word == "RUN")


def test_what_the_image_is_made_of_is_there_and_not_ignored() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for word, what in dockerfile():
        if word != "COPY" or what.startswith("--from"):
            continue
        for source in shlex.split(what)[:-1]:
            assert (ROOT / source).exists(), source
            assert source in allowed, f".dockerignore keeps {source} from the engine"

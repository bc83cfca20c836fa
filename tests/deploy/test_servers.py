"""The servers of the deployment take their configuration, tried on the same programs without containers."""

import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import yaml

from detector.runtime import servers

ROOT = Path(__file__).resolve().parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PATIENCE_S = 20.0


@contextmanager
def running(command: list[str], ready: Callable[[], bool], cwd: Path) -> Iterator[None]:
    """Run a server until the block ends; fail with what it printed when it does not become ready."""
    with (cwd / "output").open("w+") as output:
        process = subprocess.Popen(command, cwd=cwd, stdout=output, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{command[0]} is not ready:\n{(cwd / 'output').read_text()}")
                try:
                    process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def test_redis_never_evicts_and_keeps_an_append_only_file(tmp_path: Path) -> None:
    port = servers.free_port()
    client = redis.Redis(port=port)
    here = {"/etc/redis/redis.conf": str(ROOT / "deploy/redis/redis.conf"), "/data": str(tmp_path)}
    command = [here.get(word, word) for word in SERVICES["redis"]["command"]]

    def ready() -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    with running([*command, "--port", str(port), "--bind", "127.0.0.1"], ready, tmp_path):
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory") == {"maxmemory": str(1024**3)}


def test_the_container_of_redis_has_room_for_a_rewrite_above_maxmemory() -> None:
    assert SERVICES["redis"]["mem_limit"] == "1536m"


def test_prometheus_starts_with_the_flags_of_its_container(tmp_path: Path) -> None:
    port = servers.free_port()
    shutil.copytree(ROOT / "deploy/prometheus", tmp_path / "etc")
    flags = [
        flag.replace("/etc/prometheus", str(tmp_path / "etc")).replace("=/prometheus", f"={tmp_path / 'data'}")
        for flag in SERVICES["prometheus"]["command"]
    ]
    command = ["prometheus", *flags, f"--web.listen-address=127.0.0.1:{port}"]
    base = f"http://127.0.0.1:{port}"
    with running(command, lambda: answers(f"{base}/-/ready"), tmp_path):
        with urllib.request.urlopen(f"{base}/api/v1/rules") as response:
            loaded = yaml.safe_load(response.read())
        names = {rule["name"] for group in loaded["data"]["groups"] for rule in group["rules"]}
        written = {
            rule.get("alert") or rule["record"]
            for file in (ROOT / "deploy/prometheus/rules").glob("*.yml")
            for group in yaml.safe_load(file.read_text())["groups"]
            for rule in group["rules"]
        }
        assert names == written


def test_alertmanager_starts_with_the_flags_of_its_container(tmp_path: Path) -> None:
    port = servers.free_port()
    flags = [
        flag.replace("/etc/alertmanager", str(ROOT / "deploy/alertmanager")).replace("=/alertmanager", f"={tmp_path}")
        for flag in SERVICES["alertmanager"]["command"]
    ]
    command = [alertmanager(), *flags, f"--web.listen-address=127.0.0.1:{port}"]
    with running(command, lambda: answers(f"http://127.0.0.1:{port}/-/ready"), tmp_path):
        assert answers(f"http://127.0.0.1:{port}/api/v2/status")


def alertmanager() -> str:
    # Debian calls it prometheus-alertmanager, everybody else alertmanager.
    return shutil.which("prometheus-alertmanager") or "alertmanager"


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"alertname": "DetectorDown", "severity": "critical"}, "page"),
        ({"alertname": "DetectorDeadLettering", "severity": "warning"}, "ticket"),
        ({"alertname": "DetectorSignalUnavailable", "severity": "info"}, "nobody"),
        ({"alertname": "DetectorAlertingWorks", "severity": "info"}, "watchdog"),
    ],
)
def test_an_alert_reaches_who_should_hear_it(labels: dict[str, str], receiver: str) -> None:
    words = [f"{key}={value}" for key, value in labels.items()]
    file = str(ROOT / "deploy/alertmanager/alertmanager.yml")
    done = subprocess.run(
        ["amtool", "config", "routes", "test", f"--config.file={file}", f"--verify.receivers={receiver}", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_amtool_accepts_the_configuration() -> None:
    file = str(ROOT / "deploy/alertmanager/alertmanager.yml")
    done = subprocess.run(["amtool", "check-config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

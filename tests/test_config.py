"""Settings: where each value comes from, and what is refused."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detector import config
from detector.campaign.weights import DEFAULT, PACKAGED, render
from detector.config import Config, Setting, effective, load, settings
from detector.errors import ConfigError

ROOT = Path(__file__).parents[1]
ALL = settings()


def loaded(text: str, tmp_path: Path, environ: Mapping[str, str] | None = None) -> Config:
    path = tmp_path / "detector.toml"
    path.write_text(text)
    return load(path, environ or {})


def refused(text: str, tmp_path: Path, environ: Mapping[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        loaded(text, tmp_path, environ)
    return caught.value


def test_without_anything_there_are_the_defaults() -> None:
    assert load(None, {}) == Config()


def test_the_default_file_is_generated_from_the_code() -> None:
    written = (ROOT / "deploy" / "detector.toml").read_text("utf-8")
    assert written == config.documented(), "run: detector check-config --documented > deploy/detector.toml"


def test_the_default_file_says_every_default(tmp_path: Path) -> None:
    assert loaded(config.documented(), tmp_path) == Config()
    named = tomllib.loads(config.documented())
    for setting in ALL:
        table: Any = named
        for part in setting.name.split("."):
            table = table[part]


@pytest.mark.parametrize("setting", ALL, ids=lambda setting: setting.name)
def test_every_setting_is_explained(setting: Setting) -> None:
    assert setting.about
    named_above = f"`{setting.name.rpartition('.')[2]}`" in setting.about
    assert setting.doc or named_above, "say what it means in a comment behind the field, or name it in the docstring"


def test_no_two_settings_have_one_variable() -> None:
    assert len({setting.variable for setting in ALL}) == len(ALL)


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[kafka]\nbrokers = "file:1"\ngroup = "file"\n')
    values = {v.setting.name: v for v in effective(path, {"DETECTOR_KAFKA_BROKERS": "env:1"})}
    assert (values["kafka.brokers"].value, values["kafka.brokers"].origin) == (
        "env:1",
        "environment DETECTOR_KAFKA_BROKERS",
    )
    assert (values["kafka.group"].value, values["kafka.group"].origin) == ("file", f"file {path}")
    assert values["kafka.security"].origin == "default"


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[kafka]\ngroup = "g"\n')
    assert load(None, {"DETECTOR_CONFIG": str(path)}).kafka.group == "g"


@pytest.mark.parametrize("variable", ["DETECTOR_STORE_URL", "DETECTOR_STORE__URL"])
def test_sections_and_names_may_be_parted_by_one_underscore_or_two(variable: str) -> None:
    assert load(None, {variable: "redis://other:1/0"}).store.url == "redis://other:1/0"


@pytest.mark.parametrize("setting", ALL, ids=lambda setting: setting.name)
def test_every_setting_can_be_given_as_text_of_the_environment(setting: Setting) -> None:
    default = setting.default
    text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    assert load(None, {setting.variable: text.lower() if isinstance(default, bool) else text}) == Config()


def test_flags_and_numbers_of_the_environment_are_text() -> None:
    given = {"DETECTOR_ALERTING_SHADOW": "true", "DETECTOR_WEB_PORT": "0", "DETECTOR_DEAD_LETTERS_MOST_SHARE": "0.5"}
    read = load(None, given)
    assert (read.alerting.shadow, read.web.port, read.dead_letters.most_share) == (True, 0, 0.5)


@pytest.mark.parametrize(
    ("text", "setting", "nearest"),
    [
        ("[kafka]\nbroker = 'a:1'\n", "kafka.broker", "kafka.brokers"),
        ("[stream]\nlatenes_ms = 4\n", "stream.latenes_ms", "stream.lateness_ms"),
        ("[stroe]\nurl = 'redis://a'\n", "stroe.url", "store.url"),
        ("lateness_ms = 4\n", "lateness_ms", "stream.lateness_ms"),
        ("[nothing.like.it]\nq = 1\n", "nothing.like.it.q", None),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(
    text: str, setting: str, nearest: str | None, tmp_path: Path
) -> None:
    error = refused(text, tmp_path)
    assert (error.setting, error.nearest) == (setting, nearest)


def test_an_unknown_variable_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    error = refused("", tmp_path, {"DETECTOR_KAFKA_BROKER": "a:1"})
    assert (error.setting, error.nearest) == ("DETECTOR_KAFKA_BROKER", "DETECTOR_KAFKA_BROKERS")


def test_what_kubernetes_puts_beside_a_service_called_detector_is_not_ours() -> None:
    ours = {"DETECTOR_WEB_PORT": "7"}
    theirs = {
        "DETECTOR_SERVICE_HOST": "10.0.0.1",
        "DETECTOR_SERVICE_PORT": "6066",
        "DETECTOR_SERVICE_PORT_HTTP": "6066",
        "DETECTOR_PORT": "tcp://10.0.0.1:6066",
        "DETECTOR_PORT_6066_TCP_ADDR": "10.0.0.1",
        "DETECTOR_API_PORT_80_TCP": "tcp://10.0.0.1:80",
    }
    assert load(None, ours | theirs).web.port == 7


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("[web]\nport = 70000\n", "web.port"),
        ("[web]\nport = '80'\n", "web.port"),
        ("[log]\nlevel = 'chatty'\n", "log.level"),
        ("[stream]\ncadence_ms = 0\n", "stream.cadence_ms"),
        ("[alerting]\nshadow = 'yes'\n", "alerting.shadow"),
        ("[dead_letters]\nmost_share = 0.0\n", "dead_letters.most_share"),
        ("[privacy]\nhash_key = 'short'\n", "privacy.hash_key"),
        ("[kafka]\nsecurity = 'sasl_ssl'\n", "kafka.sasl_username"),
        ("[kafka]\ncert_file = 'c.pem'\n", "kafka.cert_file"),
        ("[store]\nurl = 'localhost:6379'\n", "store.url"),
        ("[verdicts]\ncritical = 'ban'\n", "verdicts.critical"),
        ("not toml", "--config"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(text: str, setting: str, tmp_path: Path) -> None:
    assert refused(text, tmp_path).setting == setting


def test_a_choice_that_is_none_is_refused_with_the_choices(tmp_path: Path) -> None:
    error = refused("[verdicts]\ncritical = 'throtle'\n", tmp_path)
    assert error.nearest == "throttle"
    assert "allow, verify, throttle, block" in str(error)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "gone.toml", {})


def test_a_secret_may_be_kept_in_a_file_of_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("00000000000000ff\n")
    assert loaded(f"[privacy]\nhash_key_file = '{secret}'\n", tmp_path).privacy.key == 255
    assert load(None, {"DETECTOR_PRIVACY_HASH_KEY_FILE": str(secret)}).privacy.key == 255
    assert refused("[privacy]\nhash_key_file = '/nowhere'\n", tmp_path).setting == "privacy.hash_key_file"


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    environ = {
        "DETECTOR_PRIVACY_HASH_KEY": "1234567890abcdef",
        "DETECTOR_KAFKA_SASL_PASSWORD": "hunter2",
        "DETECTOR_STORE_URL": "redis://me:hunter2@host:6379/0",
    }
    shown = {v.setting.name: v.shown() for v in effective(None, environ)}
    assert shown["privacy.hash_key"] == shown["kafka.sasl_password"] == '"********"'
    assert shown["store.url"] == '"redis://me:********@host:6379/0"'
    wrong = refused("", tmp_path, {**environ, "DETECTOR_PRIVACY_HASH_KEY": "hunter2"})
    assert "hunter2" not in str(wrong)


def test_what_the_stages_have_to_agree_on_is_set_once(tmp_path: Path) -> None:
    read = loaded(
        "[topics]\npartitions = 12\nlink_partitions = 3\n[stream]\ncadence_ms = 30000\nlateness_ms = 5\n"
        "[alerting]\nshadow = true\n[privacy]\nhash_key = '000000000000000a'\n",
        tmp_path,
    ).pipeline()
    assert (read.links.sources, read.campaigns.sources, read.accounts.link_partitions) == (12, 3, 3)
    assert {read.accounts.cadence_ms, read.links.cadence_ms, read.campaigns.cadence_ms} == {30_000}
    assert {read.accounts.hash_key, read.links.hash_key, read.campaigns.hash_key} == {10}
    assert read.accounts.lateness_ms == 5
    assert read.campaigns.shadow
    assert refused("[links]\ncadence_ms = 5\n", tmp_path).nearest == "stream.cadence_ms"


def test_the_canary_knows_its_accounts_under_the_key_of_the_stages() -> None:
    environ = {"DETECTOR_SIGNALS_CANARY_ACCOUNT_IDS": "one, two", "DETECTOR_PRIVACY_HASH_KEY": "00000000000000ff"}
    signals = load(None, environ).pipeline().accounts.signals
    (canary,) = [signal for signal in signals if signal.name == "canary"]
    assert (getattr(canary, "account_ids"), getattr(canary, "hash_key")) == (("one", "two"), 255)  # noqa: B009


def test_a_signal_has_its_settings_under_its_name(tmp_path: Path) -> None:
    signals = loaded("[signals.request_rate]\nordinary_per_minute = 7.0\n", tmp_path).pipeline().accounts.signals
    (changed,) = [signal for signal in signals if signal.name == "request_rate"]
    assert getattr(changed, "ordinary_per_minute") == 7.0  # noqa: B009 - a field of one member of the family


def test_the_weights_of_readings_are_a_file_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "weights.toml"
    given = msgspec.structs.replace(DEFAULT, size=0.05)
    path.write_text(render(msgspec.structs.replace(PACKAGED, weights=given)))
    assert loaded(f"[campaigns]\nweights = '{path}'\n", tmp_path).pipeline().campaigns.weights == given
    assert load(None, {"DETECTOR_CAMPAIGNS_WEIGHTS": str(path)}).campaigns.weights == given
    assert load(None, {}).campaigns.weights == DEFAULT


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "missing required field"),
        ("[weights", "not TOML"),
        (render(PACKAGED).replace("size", "sise"), "sise"),
        (render(msgspec.structs.replace(PACKAGED, reviewed_by="")), "reviewed_by"),
        (
            render(msgspec.structs.replace(PACKAGED, weights=msgspec.structs.replace(DEFAULT, spread=8.0))),
            "behaviour alone would warn",
        ),
    ],
)
def test_a_bad_weights_file_is_named_with_what_is_wrong_in_it(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.toml"
    path.write_text(text)
    error = refused(f"[campaigns]\nweights = '{path}'\n", tmp_path)
    assert error.setting == "campaigns.weights"
    assert str(path) in str(error)
    assert said in str(error)


def test_a_missing_weights_file_is_refused_when_the_settings_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"campaigns\.weights.*gone\.toml: No such file"):
        effective(None, {"DETECTOR_CAMPAIGNS_WEIGHTS": str(tmp_path / "gone.toml")})

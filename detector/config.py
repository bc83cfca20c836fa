"""Every setting of the detector: what there is, where its value came from, and nothing else.

Each part declares its settings where it lives (a dataclass or struct with defaults); `Config` only
joins them into sections. A value is taken from, in this order:

    environment  DETECTOR_KAFKA_BROKERS=…   (or DETECTOR_KAFKA__BROKERS)
    file         [kafka] brokers = "…"      (--config FILE, or DETECTOR_CONFIG)
    default

An unknown name is refused with the nearest known one: a typing error must not run silently with
a default. A secret may be kept in a file of its own: `hash_key_file = "…"` stands for `hash_key`.
`deploy/detector.toml` is generated from here (`documented`).
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import io
import os
import re
import tokenize
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast, get_args, get_origin, get_type_hints

import msgspec

from detector.campaign import weights
from detector.campaign.confidence import broken_rule
from detector.errors import ConfigError, InputError, nearest
from detector.pipeline import PipelineSettings
from detector.sinks.settings import SinkSettings
from detector.stages.accounts import AccountSettings
from detector.stages.campaigns import CampaignSettings
from detector.stages.links import LinkSettings
from detector.verdict import VerdictPolicy


def _doc(description: str, **limits: Any) -> msgspec.Meta:
    return msgspec.Meta(description=description, **limits)


def _secret(description: str) -> msgspec.Meta:
    return msgspec.Meta(description=description, extra={"secret": True})


Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Privacy(msgspec.Struct, frozen=True, kw_only=True):
    """How identifiers are kept."""

    hash_key: Annotated[
        str,
        _secret(
            "16 hex digits. Identifiers are kept as 64-bit hashes under this key; gateways that send sketches need the "
            "same one. Changing it forgets every template, address and session. Empty: the key 0, known to everybody"
        ),
    ] = ""

    @property
    def key(self) -> int:
        """Return the key as a number."""
        return int(self.hash_key, 16) if self.hash_key else 0


class Kafka(msgspec.Struct, frozen=True, kw_only=True):
    """The broker."""

    brokers: Annotated[str, _doc("host:port of one or more brokers, separated by commas")] = "localhost:9092"
    group: Annotated[str, _doc("Consumer group; workers of one group share the partitions")] = "detector"
    security: Annotated[
        Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"], _doc("Protocol; sasl_plaintext sends the password")
    ] = "plaintext"
    sasl_mechanism: Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], _doc("How to log in")] = (
        "SCRAM-SHA-512"
    )
    sasl_username: Annotated[str, _doc("Who logs in")] = ""
    sasl_password: Annotated[str, _secret("The password")] = ""
    session_ms: Annotated[int, _doc("A worker that is silent for so long loses its partitions", ge=1_000)] = 20_000
    instance: Annotated[
        str, _doc("Name of this worker that outlives it (a pod's): a restart within session_ms moves no partitions")
    ] = ""
    fetch_bytes: Annotated[int, _doc("Most that one fetch of a partition brings", ge=65_536)] = 4_194_304
    unpacked_bytes: Annotated[
        int, _doc("A compressed batch that unpacks to more is passed over, whatever its packed size", ge=65_536)
    ] = 67_108_864
    metadata_ms: Annotated[int, _doc("So soon it is noticed that a topic was made or grew", ge=100)] = 30_000
    ca_file: Annotated[str, _doc("Certificates to trust; empty: those of the system")] = ""
    cert_file: Annotated[str, _doc("Our own certificate, where the broker asks for one")] = ""
    key_file: Annotated[str, _doc("The private key of cert_file")] = ""


class Topics(msgspec.Struct, frozen=True, kw_only=True):
    """Names of the topics, and how `detector topics create` makes them."""

    requests: Annotated[str, _doc("Request events; keyed by account_id")] = "llm.requests.v1"
    accounts: Annotated[str, _doc("Account records; compacted. Empty: there is no such topic")] = "llm.accounts.v1"
    findings: Annotated[str, _doc("Findings")] = "abuse.findings.v1"
    verdicts: Annotated[str, _doc("Verdicts; compacted")] = "abuse.verdicts.v1"
    feedback: Annotated[str, _doc("Dispositions of analysts")] = "abuse.feedback.v1"
    dead_letters: Annotated[str, _doc("Records that were no events, as they came")] = "llm.requests.dlq.v1"
    observations: Annotated[str, _doc("Internal: stage 1 to stage 2")] = "detector-observations"
    candidates: Annotated[str, _doc("Internal: stage 2 to stage 3")] = "detector-candidates"
    partitions: Annotated[int, _doc("Partitions of requests, exactly", ge=1, le=10_000)] = 24
    link_partitions: Annotated[int, _doc("Partitions of observations; fixed once there is state", ge=1, le=1_000)] = 8
    replication: Annotated[int, _doc("Copies of each partition; -1: the broker's default", ge=-1, le=9)] = -1


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """Where state survives."""

    kind: Annotated[Literal["redis", "memory"], _doc("memory forgets everything at the end of the process")] = "redis"
    url: Annotated[
        str,
        msgspec.Meta(
            description="redis://[user:password@]host:port/db, or rediss:// for TLS; redis+cluster:// or "
            "rediss+cluster:// and one node of it for a Redis Cluster",
            extra={"url": True},
        ),
    ] = "redis://localhost:6379/0"
    username: Annotated[
        str, _doc("Who logs in, where the url does not say: a user with the rule of redis/detector.acl")
    ] = ""
    password: Annotated[str, _secret("The password, where the url does not say")] = ""
    ca_file: Annotated[str, _doc("Certificates to trust with rediss://; empty: those of the system")] = ""
    cert_file: Annotated[str, _doc("Our own certificate, where Redis asks for one")] = ""
    key_file: Annotated[str, _doc("The private key of cert_file")] = ""
    prefix: Annotated[str, _doc("Every key begins with it")] = "detector"
    timeout_ms: Annotated[int, _doc("No answer for so long: the store is away", ge=10)] = 2_000


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """Time, in event time unless said otherwise."""

    cadence_ms: Annotated[int, _doc("Accounts, links and campaigns are judged in steps of this", ge=1_000)] = 60_000
    lateness_ms: Annotated[
        int, _doc("An event may come so much later than the newest one of its partition; after that it is late", ge=0)
    ] = 600_000
    idle_ms: Annotated[
        int, _doc("A partition without events for so long (clock of the machine) no longer holds the others back", ge=1)
    ] = 5_000
    commit_ms: Annotated[int, _doc("State is committed so often (clock of the machine)", ge=10)] = 5_000
    publish_ms: Annotated[int, _doc("... and so soon when there is something to publish", ge=10)] = 200


class DeadLetters(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of bad records, and when they are too many to be the records' fault."""

    most_share: Annotated[float, _doc("Stop when so much of the last `window` records is bad", gt=0, le=1)] = 0.9
    window: Annotated[int, _doc("Records that the share is taken over", ge=1)] = 1_000
    most_bytes: Annotated[
        int,
        _doc(
            "A longer record is cut to so much, and the header `length` says how long it was: it may have come "
            "compressed, and would be refused by Kafka's own default limit of 1 MB, again and again",
            ge=0,
            le=15_000_000,
        ),
    ] = 950_000


class Web(msgspec.Struct, frozen=True, kw_only=True):
    """/metrics, /healthz, /readyz."""

    host: Annotated[str, _doc("Address to listen on; there is no authentication, so loopback by default")] = "127.0.0.1"
    port: Annotated[Port, _doc("Port to listen on; 0: any free one")] = 6066
    stalled_ms: Annotated[int, _doc("/healthz fails when there is lag and no progress for so long", ge=1_000)] = 60_000


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """What the process writes to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], _doc("The least severe level that is written")] = (
        "info"
    )
    format: Annotated[Literal["auto", "json", "console"], _doc("auto: console on a terminal, else json")] = "auto"


class Alerting(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of findings."""

    shadow: Annotated[
        bool,
        _doc(
            "Decide, record and measure, but deliver nothing and issue no verdict; "
            "after it, what is open is told anew, with all of its accounts"
        ),
    ] = False


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, read by `load`. What the stages have to agree on is in `stream`, `topics` and `privacy`."""

    privacy: Privacy = Privacy()
    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    store: Store = Store()
    stream: Stream = Stream()
    dead_letters: DeadLetters = DeadLetters()
    alerting: Alerting = Alerting()
    verdicts: VerdictPolicy = VerdictPolicy()
    sinks: SinkSettings = SinkSettings()
    web: Web = Web()
    log: Log = Log()
    accounts: AccountSettings = AccountSettings()
    links: LinkSettings = LinkSettings()
    campaigns: CampaignSettings = CampaignSettings()

    def pipeline(self) -> PipelineSettings:
        """Return the settings of the three stages."""
        return PipelineSettings(self.accounts, self.links, self.campaigns, self.verdicts)


_AGREED: Final[dict[str, str]] = {
    "hash_key": "privacy.hash_key",
    "cadence_ms": "stream.cadence_ms",
    "lateness_ms": "stream.lateness_ms",
    "shadow": "alerting.shadow",
    "partitions": "topics.partitions",
    "sources": "topics.partitions",
    "link_partitions": "topics.link_partitions",
}
"""Fields of stage settings that are not set by themselves, because the stages have to agree on them."""
_STAGES: Final = ("accounts", "links", "campaigns")
_AGREED_ELSEWHERE: Final = {"campaigns.sources": "topics.link_partitions"}


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its dotted name, its type, its default, and what it means."""

    name: str
    kind: Any
    default: Any
    doc: str
    about: str  # what its section is about
    secret: bool = False
    url: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "DETECTOR_" + self.name.replace(".", "_").upper()


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """What a setting is, and where that came from."""

    setting: Setting
    value: Any
    origin: str

    def shown(self) -> str:
        """Return the value as TOML, without what is secret in it."""
        if self.setting.secret:
            return '"********"' if self.value else '""'
        if self.setting.url:
            return _toml(re.sub(r"(://[^:@/]*:)[^@/]*@", r"\1********@", str(self.value)))
        return _toml(self.value)


@cache
def settings() -> tuple[Setting, ...]:
    """Return every setting, in the order of the file."""
    return tuple(_walk(Config, ""))


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Return the configuration; raise ConfigError (what is wrong in it) or InputError (no such file)."""
    return build(effective(path, environ))


def effective(path: Path | None = None, environ: Mapping[str, str] | None = None) -> list[Value]:
    """Return every setting with its value and origin; raises as `load` does."""
    environ = os.environ if environ is None else environ
    if path is None and environ.get("DETECTOR_CONFIG"):
        path = Path(environ["DETECTOR_CONFIG"])
    known = {setting.name: setting for setting in settings()}
    values = {name: Value(setting, setting.default, "default") for name, setting in known.items()}
    for name, given, origin in (*_from_file(path, known), *_from_environment(environ, known)):
        values[name] = Value(known[name], _converted(known[name], given, origin), origin)
    _check_together({name: value.value for name, value in values.items()})
    return list(values.values())


def build(values: list[Value]) -> Config:
    """Return the configuration that these values are."""
    flat = {value.setting.name: value.value for value in values}
    flat_key = Privacy(hash_key=flat["privacy.hash_key"]).key

    def make(kind: type[Any], prefix: str) -> Any:
        made: dict[str, Any] = {}
        for field in _fields(kind):
            name = f"{prefix}{field.name}"
            agreed = _agreed(name)
            if agreed is not None:
                made[field.name] = flat_key if agreed == "privacy.hash_key" else flat[agreed]
            elif field.kind is weights.Weights:
                made[field.name] = _weights(name, flat[name])
            elif _is_section(field.kind):
                made[field.name] = make(field.kind, name + ".")
            elif _is_family(field.default):
                made[field.name] = tuple(make(type(m), f"{field.name}.{m.name}.") for m in field.default)
            else:
                made[field.name] = flat[name]
        return kind(**made)

    return cast("Config", make(Config, ""))


def documented() -> str:
    """Return the default configuration as a file that explains every setting."""
    lines = [
        "# Every setting of the detector with its default. Generated by `detector check-config --documented`: change",
        "# the code, not this file. Each may also be given by the environment, DETECTOR_<SECTION>_<NAME>, which wins;",
        "# a secret may be kept in a file of its own, <name>_file. Unknown names are refused.",
    ]
    section = ""
    for setting in settings():
        table, _, name = setting.name.rpartition(".")
        if table != section:
            lines += ["", f"[{table}]", *(f"# {line}" for line in _wrapped(setting.about))]
            section = table
        lines += [f"# {line}" for line in _wrapped(setting.doc + _choices(setting.kind))]
        lines.append(f"{name} = {_toml(setting.default)}")
    return "\n".join(lines) + "\n"


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    name: str
    kind: Any
    default: Any


def _fields(kind: type[Any]) -> list[_Field]:
    """Return the fields of a struct or a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    if issubclass(kind, msgspec.Struct):
        defaults = {f.name: f.default for f in msgspec.structs.fields(kind)}
    else:
        defaults = {
            f.name: f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
            for f in dataclasses.fields(kind)
        }
    return [_Field(name, hints[name], default) for name, default in defaults.items()]


def _comments(kind: type[Any]) -> dict[str, str]:
    """Return what the source of a dataclass says of its fields: the comment behind each, and those on lines above."""
    docs: dict[str, str] = {}
    above: list[str] = []
    for line in inspect.getsource(kind).splitlines():
        field = re.match(r"    (\w+): ", line)
        comment = _comment_in(line)
        if field:
            docs[field[1]] = " ".join([*above, *([comment] if comment else [])])
        above = [*above, comment] if comment and not field else []
    return docs


def _comment_in(line: str) -> str:
    with_end = line.strip() + "\n"
    try:
        for token in tokenize.generate_tokens(io.StringIO(with_end).readline):
            if token.type == tokenize.COMMENT:
                return token.string.lstrip("# ").strip()
    except (tokenize.TokenError, IndentationError):
        pass
    return ""


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and (issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind))


def _is_family(default: Any) -> bool:
    """Return whether the field holds members of a family (signals), each with settings of its own."""
    return isinstance(default, tuple) and len(default) > 0 and all(map(dataclasses.is_dataclass, default))


def _agreed(name: str) -> str | None:
    """Return the setting that a field of a stage or signal follows instead of being set by itself."""
    section, _, last = name.partition(".")
    if section == "signals" and last.endswith(".hash_key"):
        return "privacy.hash_key"
    if section not in _STAGES or "." in last:
        return None
    return _AGREED_ELSEWHERE.get(name) or _AGREED.get(last)


def _walk(kind: type[Any], prefix: str) -> Iterator[Setting]:
    """Yield the settings of a section, then those of the sections in it."""
    about = (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")
    comments = {} if issubclass(kind, msgspec.Struct) else _comments(kind)
    inner: list[Iterator[Setting]] = []
    for field in _fields(kind):
        name = f"{prefix}{field.name}"
        if _agreed(name) is not None:
            continue
        if field.kind is weights.Weights:
            yield Setting(name, str, "", comments[field.name], about)
        elif _is_section(field.kind):
            inner.append(_walk(field.kind, name + "."))
        elif _is_family(field.default):
            inner.extend(_walk(type(member), f"{field.name}.{member.name}.") for member in field.default)
        else:
            metas = [a for a in getattr(field.kind, "__metadata__", ()) if isinstance(a, msgspec.Meta)]
            doc = comments.get(field.name) or next((m.description for m in metas if m.description), "")
            extra = {k: v for m in metas for k, v in (m.extra or {}).items()}
            yield Setting(name, field.kind, field.default, doc, about, **extra)
    for section in inner:
        yield from section


def _from_file(path: Path | None, known: Mapping[str, Setting]) -> Iterator[tuple[str, Any, str]]:
    if path is None:
        return
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError("--config", f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError("--config", f"{path} is not TOML: {error}") from None
    yield from _named(_flat(tables, ""), known, f"file {path}")


def _flat(tables: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


_FOREIGN: Final = re.compile(r"DETECTOR_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")
"""What Kubernetes puts into the environment of a pod beside a service called `detector`."""


def _from_environment(environ: Mapping[str, str], known: Mapping[str, Setting]) -> Iterator[tuple[str, str, str]]:
    by_variable = {setting.variable: name for name, setting in known.items()}
    by_variable |= {f"{s.variable}_FILE": f"{name}_file" for name, s in known.items() if s.secret}
    for given in sorted(environ):
        variable = given.replace("__", "_")
        if not variable.startswith("DETECTOR_") or variable == "DETECTOR_CONFIG":
            continue
        if variable not in by_variable:
            if _FOREIGN.fullmatch(variable):
                continue
            raise ConfigError(given, "there is no such setting", _nearest(variable, by_variable))
        yield from _named([(by_variable[variable], environ[given])], known, f"environment {given}")


def _weights(setting: str, path: str) -> weights.Weights:
    """Return the weights that a file holds, or those of the package."""
    try:
        found = weights.parse(Path(path).read_text("utf-8")).weights if path else weights.DEFAULT
    except (OSError, UnicodeDecodeError, InputError) as error:
        raise ConfigError(setting, f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if broken := broken_rule(found):
        raise ConfigError(setting, f"{path}: {broken}")
    return found


def _named(given: Any, known: Mapping[str, Setting], origin: str) -> Iterator[tuple[str, Any, str]]:
    """Yield (setting, value, origin); a secret that is named by its file is read."""
    for name, value in given:
        if name in known:
            yield name, value, origin
        elif name.endswith("_file") and name[:-5] in known and known[name[:-5]].secret:
            try:
                yield name[:-5], Path(value).read_text("utf-8").strip(), f"{origin}, file {value}"
            except (OSError, UnicodeDecodeError, TypeError) as error:
                raise ConfigError(name, f"{value}: {getattr(error, 'strerror', None) or error}") from None
        else:
            raise ConfigError(name, "there is no such setting", _nearest(name, known))


def _nearest(name: str, known: Mapping[str, Any]) -> str | None:
    """Return the known name that looks most like this one, its last part first."""
    last: dict[str, str] = {k.rpartition(".")[2]: k for k in known}
    close: list[str] = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    if close:
        return close[0]
    return next((last[c] for c in difflib.get_close_matches(name.rpartition(".")[2], last, n=1, cutoff=0.6)), None)


def _converted(setting: Setting, given: Any, origin: str) -> Any:
    """Return the value as the type of the setting; text of the environment may be a number, a flag or a list."""
    from_environment = origin.startswith("environment")
    if from_environment and get_origin(_bare(setting.kind)) in (list, tuple):
        given = [part.strip() for part in given.split(",") if part.strip()]
    try:
        return msgspec.convert(given, setting.kind, strict=not from_environment)
    except msgspec.ValidationError as error:
        said = "what was given" if setting.secret else repr(given)
        near = None
        choices = get_args(_bare(setting.kind))
        if isinstance(given, str) and choices and isinstance(choices[0], str):
            near = nearest(given, choices)
        problem = f"{said} ({origin}) is not usable: {_explained(error, setting)}"
        raise ConfigError(setting.name, problem, near) from None


def _explained(error: msgspec.ValidationError, setting: Setting) -> str:
    choices = _choices(setting.kind)
    return f"it is{choices.removeprefix('.')}" if choices else str(error)


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if hasattr(kind, "__metadata__") else kind


def _choices(kind: Any) -> str:
    choices = get_args(_bare(kind))
    if not choices or not all(isinstance(c, str) for c in choices):
        return ""
    return ". One of " + ", ".join(choices)


def _check_together(flat: Mapping[str, Any]) -> None:
    """Refuse what is wrong only in combination, or in a file that is named."""
    _weights("campaigns.weights", flat["campaigns.weights"])
    key = flat["privacy.hash_key"]
    if key and not re.fullmatch(r"[0-9a-fA-F]{16}", key):
        raise ConfigError("privacy.hash_key", "it is 16 hex digits")
    if flat["kafka.security"].startswith("sasl") and not (flat["kafka.sasl_username"] and flat["kafka.sasl_password"]):
        raise ConfigError(
            "kafka.sasl_username",
            f"kafka.security is {flat['kafka.security']}, so there must be a user name and a password",
        )
    for section in ("kafka", "store"):
        if bool(flat[f"{section}.cert_file"]) != bool(flat[f"{section}.key_file"]):
            raise ConfigError(f"{section}.cert_file", f"{section}.cert_file and {section}.key_file are given together")
    if not re.match(r"(rediss?(\+cluster)?|unix)://", flat["store.url"]):
        raise ConfigError("store.url", "it begins with redis://, rediss://, redis+cluster:// or unix://")
    if flat["store.ca_file"] and not flat["store.url"].startswith("rediss"):
        raise ConfigError("store.ca_file", "store.url does not ask for TLS: it begins with rediss:// then")


def _wrapped(text: str) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + len(word) + 1 > 110:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line] if line else lines


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)

"""Servers as users secure them, for tests: certificates of a CA of our own, a Kafka with logins and rights, a cluster.

ANONYMOUS ─► PLAINTEXT listener (tests as the operator: super user)
users     ─► SECURED listener: SASL (PLAIN, SCRAM) over TLS, every right to be granted
CN=client ─► MUTUAL listener: TLS with a certificate of the client's own
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ConfigResource,
    ConfigResourceType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    UserScramCredentialUpsertion,
)

from detector.runtime import servers

PASSWORD = "correct horse"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
REDIS_RULE = (Path(__file__).parents[2] / "deploy/redis/detector.acl").read_text("utf-8").strip()


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: the CA, and one certificate with its key for server and client alike."""

    ca: Path
    certificate: Path
    key: Path
    both: Path  # key and certificate in one file, as Kafka wants them


def certificates(folder: Path) -> Certificates:
    """Make them with openssl; they are good for a day, for 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificates(*(folder / name for name in ("ca.pem", "server.pem", "server.key", "both.pem")))

    def openssl(*words: str | Path) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, cwd=folder)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", made.ca, "-subj", "/CN=test CA", "-days", "1")
    openssl("req", *curve, "-keyout", made.key, "-out", "server.csr", "-subj", "/CN=client")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    signed = ("-CA", made.ca, "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "names")
    openssl("x509", "-req", "-in", "server.csr", *signed, "-out", made.certificate)
    made.both.write_text(made.key.read_text() + made.certificate.read_text())
    return made


class SecuredKafka:
    """A Kafka whose `address` is the operator's door; users come in by `secured` or `mutual`."""

    def __init__(self, folder: Path) -> None:
        self.certificates = certificates(folder / "certificates")
        ports = servers.free_port(), servers.free_port()
        self.secured, self.mutual = (f"127.0.0.1:{port}" for port in ports)
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        # Users of PLAIN are in the configuration: as many as tests may want.
        users = " ".join(f'user_user{n}="{PASSWORD}"' for n in range(40))
        self.server = servers.kafka(
            folder / "kafka",
            properties={
                "listeners": "PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},"
                f"SECURED://{self.secured},MUTUAL://{self.mutual}",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
                "SECURED:SASL_SSL,MUTUAL:SSL",
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(self.certificates.both),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": str(self.certificates.ca),
                "listener.name.mutual.ssl.client.auth": "required",
                "sasl.enabled.mechanisms": ",".join(MECHANISMS),
                "listener.name.secured.plain.sasl.jaas.config": f"{plain} {users};",
                "listener.name.secured.scram-sha-256.sasl.jaas.config": scram,
                "listener.name.secured.scram-sha-512.sasl.jaas.config": scram,
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS",
                "message.max.bytes": "1048588",  # Kafka's default, which topics start from
                # Compaction and retention look soon and often, so that a test can wait for them.
                "log.initial.task.delay.ms": "100",
                "log.cleaner.backoff.ms": "100",
                "log.retention.check.interval.ms": "100",
            },
        )
        self.address = self.server.address

    @contextmanager
    def administration(self) -> Iterator[KafkaAdminClient]:
        """The operator's client."""
        admin = KafkaAdminClient(bootstrap_servers=self.address)
        try:
            yield admin
        finally:
            admin.close()

    def add_scram_user(self, name: str, mechanism: str) -> None:
        """Make a user of SCRAM."""
        with self.administration() as admin:
            admin.alter_user_scram_credentials([UserScramCredentialUpsertion(name, mechanism, PASSWORD)])

    def grant(self, user: str, rights: Mapping[tuple[ResourceType, str], tuple[ACLOperation, ...]]) -> None:
        """Allow a user these operations on these topics and groups, and no others."""
        wanted = [
            ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, ResourcePattern(kind, name))
            for (kind, name), operations in rights.items()
            for operation in operations
        ]
        with self.administration() as admin:
            admin.create_acls(wanted)
            self._await_rights(admin, user, len(wanted))

    @staticmethod
    def _await_rights(admin: KafkaAdminClient, user: str, count: int) -> None:
        """Wait until the broker has heard of what its controller was told."""
        everything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
        of_user = ACLFilter(f"User:{user}", None, ACLOperation.ANY, ACLPermissionType.ANY, everything)
        deadline = time.monotonic() + 30
        while len(admin.describe_acls(of_user)[0]) != count:
            assert time.monotonic() < deadline, f"{user} has not got {count} rights"

    def create(self, topic: str, partitions: int, settings: Mapping[str, str]) -> None:
        """Make a topic with these settings."""
        wanted = {"num_partitions": partitions, "replication_factor": 1, "configs": dict(settings)}
        with self.administration() as admin:
            admin.create_topics({topic: wanted}, wait_for_metadata=True)

    def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""
        with self.administration() as admin:
            admin.create_partitions({topic: partitions})

    def configure(self, topic: str, settings: Mapping[str, str]) -> None:
        """Change the settings of a topic."""
        with self.administration() as admin:
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict(settings))])

    def revoke(self, user: str, topic: str, operation: ACLOperation) -> None:
        """Take a right to a topic away; it takes effect soon."""
        pattern = ResourcePattern(ResourceType.TOPIC, topic)
        with self.administration() as admin:
            admin.delete_acls([ACLFilter(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, pattern)])


@contextmanager
def secured_kafka(folder: Path) -> Iterator[SecuredKafka]:
    """Run one."""
    kafka = SecuredKafka(folder)
    with kafka.server:
        yield kafka


def least_rights(folder: Path, more: str = "") -> tuple[str, str]:
    """Return the options of a Redis whose users are that of deploy/redis/detector.acl, and the operator.

    `more` are rights that are added to the rule.
    """
    folder.mkdir(parents=True, exist_ok=True)
    users = folder / "users.acl"
    users.write_text(f"user default on nopass ~* &* +@all\n{REDIS_RULE} {more}\n", "utf-8")
    return "--aclfile", str(users)

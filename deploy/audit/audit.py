"""Known vulnerabilities of what the lock names: what pip-audit finds, and what it could not look up.

    python deploy/audit/audit.py requirements.lock

pip-audit ends with 0 and "No known vulnerabilities found" also when the index that it asks knows nothing about any
package, as a mirror without the JSON interface does. So its report is read here: PyPI is asked first, then OSV. Exit
code 0: every package was looked up and nothing is known against it; 1: something is; 3: not all could be looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

NONE_KNOWN, VULNERABLE, NOT_REACHED = 0, 1, 3
SERVICES = ("pypi", "osv")
ASK_SECONDS = 300
Report = Mapping[str, Any]


def asked(service: str, lock: str) -> Report | None:
    """Return pip-audit's report by the data of this service; None when it cannot be reached."""
    pip_audit = Path(sys.executable).parent / "pip-audit"
    given = [*("-r", lock), "--require-hashes", "--disable-pip", *("--progress-spinner", "off"), *("-f", "json")]
    try:
        done = subprocess.run(  # noqa: S603 - with what stands above
            [pip_audit, *given, "-s", service], capture_output=True, text=True, check=False, timeout=ASK_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None
    try:
        report: Report = json.loads(done.stdout)
    except ValueError:
        return None
    return report


def audited(lock: str, ask: Callable[[str, str], Report | None] = asked) -> tuple[int, list[str]]:
    """Return the exit code and what is to be said, by the first service that could look up every package."""
    said: list[str] = []
    for service in SERVICES:
        report = ask(service, lock)
        if report is None:
            said.append(f"{service}: cannot be reached")
            continue
        packages: Sequence[Report] = report["dependencies"]
        skipped = [package for package in packages if "skip_reason" in package]
        found = [
            f"{package['name']} {package['version']}: {known['id']}, fixed in {', '.join(known['fix_versions']) or '-'}"
            for package in packages
            for known in package.get("vulns", ())
        ]
        if found:
            return VULNERABLE, [*said, *found]
        if packages and not skipped:
            return NONE_KNOWN, [f"{service}: nothing is known against any of {len(packages)} packages"]
        said.append(f"{service}: {len(skipped)} of {len(packages)} packages could not be looked up")
    return NOT_REACHED, [*said, "the data on vulnerabilities cannot be reached from here: nothing was found out"]


if __name__ == "__main__":
    code, lines = audited(sys.argv[1])
    print("\n".join(lines))
    sys.exit(code)

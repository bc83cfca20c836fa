"""`make audit` never calls clean what nobody looked up."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.audit.audit import NONE_KNOWN, NOT_REACHED, VULNERABLE, Report, audited

CLEAN = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (1)"}
BAD = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}


@pytest.mark.parametrize(
    ("pypi", "osv", "code", "said"),
    [
        ([CLEAN], None, NONE_KNOWN, "nothing is known against any of 1 packages"),
        ([CLEAN, SKIPPED], [CLEAN, CLEAN], NONE_KNOWN, "osv: nothing is known"),
        ([SKIPPED, BAD], None, VULNERABLE, "c 2: PYSEC-1, fixed in 2.1"),
        (None, [BAD], VULNERABLE, "c 2: PYSEC-1, fixed in 2.1"),
        ([CLEAN, SKIPPED], None, NOT_REACHED, "1 of 2 packages could not be looked up"),
        ([SKIPPED], [SKIPPED], NOT_REACHED, "cannot be reached from here"),
        ([], [], NOT_REACHED, "nothing was found out"),
        (None, None, NOT_REACHED, "osv: cannot be reached"),
    ],
)
def test_the_answer_says_what_was_looked_up(pypi: Any, osv: Any, code: int, said: str) -> None:
    reports = {"pypi": pypi, "osv": osv}

    def ask(service: str, _: str) -> Report | None:
        return None if reports[service] is None else {"dependencies": reports[service]}

    found, lines = audited("requirements.lock", ask)
    assert found == code
    assert said in "\n".join(lines)

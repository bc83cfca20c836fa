"""Labelled streams -> a weights file: replay them, note every group that stage 3 reads, fit, and say how well.

    jobs ──► replay with an observer ──► Readings ──► samples ──► fit ──► weights file
                                                  check jobs ──► the same figures on streams it was not fitted on

Every group counts that is read, the many that never reach `watch` among them: they are what a campaign has to
be told from. A group is *true* when at least half of its accounts are of true campaigns, and is then the
campaign that most of them are of. A benign group is the one that it shares half of its accounts with, or
else a new one, because the same class is read again and again while it grows.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from detector.campaign.fit import Samples, figures, fit, joined, strengths_of
from detector.campaign.group import Reading
from detector.campaign.weights import READINGS, Trial, Weights, WeightsFile
from detector.errors import InputError
from detector.pipeline import PipelineSettings
from detector.runtime.grid import Job, stream_of
from detector.runtime.replay import replay
from detector.scorecard import Truth


class Readings:
    """An observer of stage 3: what was read, and what the truth says of it."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._rows: list[list[float]] = []
        self._true: list[bool] = []
        self._group: list[int] = []
        self._campaigns: dict[str, int] = {}
        self._benign: dict[str, int] = {}  # account -> the benign group that it was first read in
        self._groups = 0

    def __call__(self, accounts: list[str], readings: list[Reading]) -> None:
        """Take one group; its readings come in any order."""
        strength = {reading.name: reading.strength for reading in readings}
        of = Counter(filter(None, map(self._truth.campaign, accounts)))
        true = 2 * of.total() >= len(accounts)
        self._rows.append([strength[name] for name in READINGS])
        self._true.append(true)
        self._group.append(self._campaign(of) if true else self._known(accounts))

    def samples(self) -> Samples:
        """Return all that was read."""
        return Samples(strengths_of(self._rows), np.array(self._true, np.bool_), np.array(self._group, np.int64))

    def _campaign(self, of: Counter[str]) -> int:
        name = min(of, key=lambda campaign: (-of[campaign], campaign))
        return self._campaigns.setdefault(name, self._next() if name not in self._campaigns else 0)

    def _known(self, accounts: list[str]) -> int:
        known = Counter(self._benign[account] for account in accounts if account in self._benign)
        group, shared = min(known.items(), key=lambda item: (-item[1], item[0]), default=(0, 0))
        if 2 * shared < len(accounts):
            group = self._next()
        for account in accounts:
            self._benign.setdefault(account, group)
        return group

    def _next(self) -> int:
        self._groups += 1
        return self._groups - 1


def observed(job: Job, settings: PipelineSettings) -> Samples:
    """Return what stage 3 reads in one labelled stream."""
    chunks, accounts, truth = stream_of(job, settings.accounts.hash_key)
    readings = Readings(Truth(truth))
    for _ in replay(chunks, accounts, settings, observer=readings):
        pass  # the findings are not asked for, but reading on is what makes the stream flow
    return readings.samples()


def fitted(
    jobs: Sequence[Job],
    checks: Sequence[Job],
    settings: PipelineSettings,
    date: dt.date,
    *,
    done: Callable[[Job], None] = lambda _: None,
) -> WeightsFile:
    """Return the weights that the streams of `jobs` ask for, tried on those of `checks`; nobody has reviewed them.

    The settings' own weights are what the fit departs from. InputError: the streams hold nothing to tell apart.
    """

    def read(streams: Sequence[Job]) -> Samples:
        parts = []
        for job in streams:
            parts.append(observed(job, settings))
            done(job)
        return joined(parts)

    samples = read(jobs)
    before = settings.campaigns.weights
    try:
        after = fit(samples, before)
    except ValueError as error:
        raise InputError(f"nothing to fit: {error}") from None
    return WeightsFile(
        date=date,
        reviewed_by="",
        reason=f"Fitted on {len(samples.group):,} readings.",
        weights=after,
        fitted=_trial(jobs, samples, before, after),
        checked=_trial(checks, read(checks), before, after) if checks else None,
    )


def _trial(jobs: Sequence[Job], samples: Samples, before: Weights, after: Weights) -> Trial:
    return Trial(streams=[_name(job) for job in jobs], before=figures(samples, before), after=figures(samples, after))


def _name(job: Job) -> str:
    return job.folder.name if job.folder else f"{job.scenario} seed {job.seed} scale {job.scale:g}"

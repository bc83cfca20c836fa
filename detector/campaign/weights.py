"""What each reading of a group weighs, and the file that says so: dated, reviewed, with what it was fitted on.

`weights.toml` beside this module holds the default; the setting `campaigns.weights` names another file of the
same form. `detector fit` writes one from labelled streams. It leaves `reviewed_by` empty, and a file that
nobody has put a name to is refused: a fit knows the streams it was given and nothing else.

A weight is never negative, so that a stronger reading never lowers confidence.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from detector.errors import InputError

_WIDTH: Final = 110


def _weight(meaning: str) -> Meta:
    return Meta(ge=0, le=20, description=meaning)


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Log-odds that each reading adds at full strength, and those of a group that shows nothing."""

    bias: Annotated[float, Meta(ge=-20, le=0, description="a group that shows nothing")]
    size: Annotated[float, _weight("many accounts")]
    young_surplus: Annotated[float, _weight("more young accounts than the population's share predicts")]
    work_list: Annotated[float, _weight("the same items are not asked twice: a list is walked in slices")]
    evenness: Annotated[float, _weight("requests are spread more evenly over the accounts than people's are")]
    concentration: Annotated[float, _weight("most of what its accounts ask is what they share")]
    duration: Annotated[float, _weight("it has gone on for long")]
    identity: Annotated[float, _weight("a rare payment, card pattern or client print is shared as well")]
    spread: Annotated[float, _weight("its accounts come from many networks, not from one place")]
    single_turn: Annotated[float, _weight("questions, not conversations")]
    extraction: Annotated[float, _weight("prompts that extract, grade or generate")]
    exchange: Annotated[float, _weight("its accounts present each other's reasoning blocks")]
    novelty: Annotated[float, _weight("several new prompts, used evenly by accounts of all ages, each question once")]
    narrowness: Annotated[float, _weight("a few classes of tasks, where established accounts have many")]
    rhythm: Annotated[float, _weight("no night: neither the group nor its accounts")]
    release_pivot: Annotated[float, _weight("it moved to a new model sooner than others")]
    probing: Annotated[float, _weight("refused at first, then much more was asked")]
    lockstep: Annotated[float, _weight("its accounts act together, or in turns, within five minutes")]
    sign_up_burst: Annotated[float, _weight("its accounts signed up together, from many networks")]
    content_shift: Annotated[float, _weight("what it asks and gets is unlike what established accounts do")]


READINGS: Final = tuple(name for name in Weights.__struct_fields__ if name != "bias")


class Figures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How well weights tell campaigns from other groups; losses are means, half over campaigns, half over the others.

    Each group counts once, however often it was read.
    `benign_loud`: benign groups that ever read at WARNING_AT or above; `campaigns_quiet`: campaigns that never did.
    """

    campaigns: int
    benign: int
    log_loss: float
    brier: float
    benign_loud: int
    campaigns_quiet: int


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The weights before and after the fit, on the same streams."""

    streams: list[str]
    before: Figures
    after: Figures


class WeightsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A weights file: `fitted` is on the streams of the fit, `checked` on others."""

    date: dt.date
    reviewed_by: str
    reason: str
    weights: Weights
    fitted: Trial | None = None
    checked: Trial | None = None


def parse(text: str) -> WeightsFile:
    """Return the file that `text` is; raise InputError saying what is wrong in it, nobody's review included."""
    try:
        found = msgspec.convert(tomllib.loads(text), WeightsFile)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"it is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise InputError(f"it is no weights file: {error}") from None
    if not found.reviewed_by.strip():
        raise InputError("nobody has reviewed it: read it, and put a name into reviewed_by")
    return found


def render(file: WeightsFile) -> str:
    """Return the file as TOML, which `parse` reads once it is reviewed; the same file, the same bytes."""
    lines = [
        "# Weights of the readings of a group, in log-odds at full strength. The setting campaigns.weights names",
        "# the file to use. reviewed_by is for a person who has read it; until then it is refused.",
        f"date = {file.date.isoformat()}",
        f"reviewed_by = {_toml(file.reviewed_by)}",
        f"reason = {_toml(file.reason)}",
        "",
        "[weights]",
    ]
    hints = {field.name: field.type for field in msgspec.structs.fields(Weights)}
    for name in Weights.__struct_fields__:
        meaning = hints[name].__metadata__[0].description
        lines.append(f"{name} = {getattr(file.weights, name)!r}  # {meaning}")
    for title, trial in (("fitted", file.fitted), ("checked", file.checked)):
        if trial is None:
            continue
        lines += ["", f"[{title}]", f"streams = {_toml(trial.streams)}"]
        for when, figures in (("before", trial.before), ("after", trial.after)):
            lines += ["", f"[{title}.{when}]"]
            lines += [f"{name} = {getattr(figures, name)!r}" for name in Figures.__struct_fields__]
    return "\n".join(lines) + "\n"


def _toml(value: str | Sequence[str]) -> str:
    """Write text, line by line where it has several, or a list of texts, a few to a line; JSON's text is TOML's."""
    if isinstance(value, str):
        rows = [msgspec.json.encode(row).decode() for row in value.split("\n")]
        return rows[0] if len(rows) == 1 else '"""\n' + "\n".join(row[1:-1] for row in rows) + '"""'
    lines, line = [], "   "
    for part in (f" {_toml(text)}," for text in value):
        if len(line) + len(part) > _WIDTH:
            lines.append(line)
            line = "   "
        line += part
    return "\n".join(["[", *lines, line, "]"])


def _packaged() -> WeightsFile:
    return parse(files("detector.campaign").joinpath("weights.toml").read_text("utf-8"))


PACKAGED: Final = _packaged()
DEFAULT: Final = PACKAGED.weights


def vector(weights: Weights) -> list[float]:
    """Return the bias, then the weights in the order of READINGS."""
    return [getattr(weights, name) for name in Weights.__struct_fields__]


def from_vector(values: Sequence[float]) -> Weights:
    """Return the weights that `vector` would give as `values`."""
    named: dict[str, Any] = dict(zip(Weights.__struct_fields__, values, strict=True))
    return Weights(**named)

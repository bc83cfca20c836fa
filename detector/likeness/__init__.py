"""Likeness says when two prompts are the same thing.

    sketch   texts    -> Sketches              where there is text: at the gateway or in the pipeline
    encode   Sketches -> strings               so that no text has to leave the gateway (`prompt_sketch`)
    decode   strings  -> Sketches, bad rows

    words.py     texts -> masked words, one pass over the bytes of the batch
    columns.py   masked words -> template, head, tail, fragments, skeleton
    labels.py    masked words -> what kind of request it is; lexicon.py: classes of words for both

Two prompts are alike in as many ways as there are columns, because a campaign gives itself away in one of them and
it is not known beforehand in which. Share of the prompts of public extracts that a column ties to at least four
others of the same extract (`tests/bench/likeness.py --prompts DIR`); the first three are harmless:

@TABLE@

A harmless batch job is tied as much as a harvest: likeness says what is the same, not whether that is wrong.
@PARAPHRASE@
"""

from detector.likeness.sketch import sketch
from detector.likeness.wire import decode, encode

__all__ = ["decode", "encode", "sketch"]

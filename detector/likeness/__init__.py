"""Likeness says when two prompts are the same thing.

    sketch   texts    -> Sketches              where there is text: at the gateway or in the pipeline
    encode   Sketches -> strings               so that no text has to leave the gateway (`prompt_sketch`)
    decode   strings  -> Sketches, bad rows

    fold.py      texts -> bytes in one form, with and without case
    words.py     bytes -> masked words
    columns.py   masked words -> template, head, tail, fragments, skeleton
    labels.py    masked words -> what kind of request it is; lexicon.py: classes of words for both
    compiled.py  how the loops over bytes and words of these become machine code

Two prompts are alike in as many ways as there are columns, because a campaign gives itself away in one of them and
it is not known beforehand in which. Share of the prompts of public extracts that a column ties to at least four
others of the same extract (`tests/bench/likeness.py --prompts DIR`); the first three are harmless:

                                   template    head    tail  fragments  skeleton
    human, published and copied        0.00    0.19    0.10       0.10      0.00    awesome-chatgpt-prompts
    human, function calling            0.02    0.02    0.03       0.10      0.01    BFCL live
    human, 141 batch templates         0.13    0.67    0.59       0.68      0.54    self-instruct / T0
    harvest, alpaca generation         0.00    1.00    1.00       1.00      1.00
    harvest, codealpaca generation     0.00    1.00    1.00       1.00      1.00
    harvest, codealpaca, naked         0.00    0.17    0.16       0.58      0.69
    harvest, GSM8K with suffix         0.00    0.00    1.00       0.20      0.34
    harvest, rubric judge              0.92    1.00    1.00       1.00      1.00    AlpacaEval
    harvest, ToolAlpaca                0.00    1.00    1.00       1.00      1.00

A harmless batch job is tied as much as a harvest: likeness says what is the same, not whether that is wrong.

What survives a paraphrase: six scaffolds written for the bench, 200 versions of each, mean share tied:

                                   template    head    tail  fragments  skeleton
    other slots only                   0.00    1.00    0.83       0.99      0.95
    greeting, thanks                   0.00    1.00    0.88       1.00      0.94
    other layout                       0.00    1.00    0.83       0.98      0.98
    sentences reordered                0.00    0.79    0.75       0.98      0.87
    60 % of words as synonyms          0.00    0.87    0.83       0.95      0.72
    all of these                       0.00    0.63    0.46       0.84      0.68

(Slots are free words there, hence no template.) This flatters the skeleton: its lexicon and the bench's synonyms have
one author, and its form was chosen on this table. And 200 versions of one scaffold share more fragments than 200
accounts on 1,000 scaffolds would.
"""

from detector.likeness.sketch import empty, sketch
from detector.likeness.wire import decode, encode

__all__ = ["decode", "empty", "encode", "sketch"]

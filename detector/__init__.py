"""Request events in, findings about campaigns of bulk capability harvesting out.

    bytes -> decoders -> EventBatch -> account stage -> Observations
          -> link stage -> Candidates -> campaign stage -> Finding -> sinks

A singular name is a stage, a plural name is a family that you extend; only
`stores sinks runtime api` touch the world. `pipeline.py` is the whole flow on one screen.
"""

__version__ = "0.1.0"

"""What the worker answers over HTTP: is it alive, is it ready, how is it doing."""

from detector.api.health import Check, Progress, Status
from detector.api.server import application, serve

__all__ = ["Check", "Progress", "Status", "application", "serve"]

"""A stand-in for the Suno resellers sunoapi.org and kie.ai: see README.md one folder up."""

from stack.simulators.suno.app import Simulator, make_app, serving
from stack.simulators.suno.clock import Clock, HandClock
from stack.simulators.suno.settings import Settings

__all__ = ["Clock", "HandClock", "Settings", "Simulator", "make_app", "serving"]

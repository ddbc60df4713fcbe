"""The whole platform on one machine: embedded dependencies, provider simulators, the `parcours` command."""

"""Create's use cases: starting a run, and enriching its words."""

"""The peers' side of the benchmarks: one small program each, written as their documentation says."""

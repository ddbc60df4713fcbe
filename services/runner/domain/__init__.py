"""Pure decisions of the runner: whose turn it is, when a segment is due, what became of a run."""

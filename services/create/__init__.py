"""Create: turns a person's request into a planned run, and lets a language model improve its words afterwards."""

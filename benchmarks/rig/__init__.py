"""What every benchmark stands on: real servers, processes, options, figures, and how they are reported."""

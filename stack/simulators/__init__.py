"""Stand-ins for the providers' HTTP APIs, faithful in shape and timing, for machines without the internet."""

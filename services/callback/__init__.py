"""Takes the providers' webhooks: token check, payload dialects, facts; it has no egress at all."""

"""The callback's queries: what is known of attempts, the one statement that writes news down, the providers' keys."""

"""Our offline provider: speaks the reseller's API and renders real ambient music."""

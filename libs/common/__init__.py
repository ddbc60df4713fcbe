"""The words that services must agree on, and mechanisms with no opinion on the product."""

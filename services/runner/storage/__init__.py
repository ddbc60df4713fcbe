"""The runner's queries; no transaction is opened here."""

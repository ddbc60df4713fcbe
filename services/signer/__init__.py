"""The signer: gives the owner of a finished segment an address that plays for one hour."""

"""What the stand-ins of fal and Replicate share: jobs in stages, faults, signed callbacks, files, a ledger."""

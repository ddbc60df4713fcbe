"""Pure decisions of create: presets, emotions, plans, words. No I/O beyond loading packaged data files once."""

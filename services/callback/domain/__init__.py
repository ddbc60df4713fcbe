"""Pure decisions of the callback: what a payload means, and what news changes."""

"""A laboratory with a virtual clock: the decision code can't tell it from a host, and its truth is known."""

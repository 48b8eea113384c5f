"""The catalogue of settings: one file per setting, and the list of them."""

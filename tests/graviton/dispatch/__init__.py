"""Which settings are alive for which torch on which core, as seen in the product's own worker."""

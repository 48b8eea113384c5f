"""An emulated Graviton: the product on real aarch64 torch, on a machine of any architecture."""

"""How often the decision is right, at what cost, and beside what others do: on simulated hosts."""

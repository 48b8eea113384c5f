"""What the commands about units do: look, foretell, write, take back. They run and end; the daemon stays."""

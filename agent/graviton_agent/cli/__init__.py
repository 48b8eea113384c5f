"""One file per command; `main` registers them and owns errors and exit codes."""

"""The Debian archive that this machine itself uses."""

import subprocess


def mirror() -> str | None:
    """Its address without a suite, such as "http://deb.debian.org/debian"; None if it uses none."""
    # Others, too, have archives whose address ends in "/debian".
    command = ("apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN)", "Created-By: Packages")
    known = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    found = (line.partition(" ")[::2] for line in known)
    uris = (uri.rstrip("/") for uri, origin in found if origin.startswith("Debian"))
    return next((uri for uri in uris if uri.endswith("/debian")), None)

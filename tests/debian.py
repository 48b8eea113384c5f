"""The Debian archive that this machine itself uses."""

import subprocess


def mirror() -> str | None:
    """Its address without a suite, such as "http://deb.debian.org/debian"; None if it uses none."""
    command = ("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    known = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return next((uri.rstrip("/") for uri in known if uri.rstrip("/").endswith("/debian")), None)

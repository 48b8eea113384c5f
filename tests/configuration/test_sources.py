"""Which files count, by systemd's rules."""

import os

from graviton_agent.configuration import sources
from tests.configuration.tree import Tree


def found(tree: Tree) -> list[str]:
    """The paths that count, below the root."""
    return [path.removeprefix(f"{tree.root}/") for path in sources.find(str(tree.root))]


def test_a_host_without_configuration_has_no_files(tree: Tree) -> None:
    assert found(tree) == []


def test_the_main_file_of_etc_hides_that_of_usr_lib(tree: Tree) -> None:
    tree.write("usr/lib/graviton-agent/graviton-agent.toml")
    tree.write("etc/graviton-agent/graviton-agent.toml")
    assert found(tree) == ["etc/graviton-agent/graviton-agent.toml"]


def test_drop_ins_follow_the_main_file_in_the_order_of_their_names_across_folders(tree: Tree) -> None:
    tree.write("etc/graviton-agent/conf.d/30-b.toml")
    tree.write("usr/lib/graviton-agent/conf.d/10-a.toml")
    tree.write("run/graviton-agent/conf.d/50-c.toml")
    tree.write("usr/lib/graviton-agent/graviton-agent.toml")
    assert found(tree) == [
        "usr/lib/graviton-agent/graviton-agent.toml",
        "usr/lib/graviton-agent/conf.d/10-a.toml",
        "etc/graviton-agent/conf.d/30-b.toml",
        "run/graviton-agent/conf.d/50-c.toml",
    ]


def test_a_drop_in_hides_those_of_its_name_in_later_folders(tree: Tree) -> None:
    for base in ("usr/lib", "usr/local/lib", "run", "etc"):
        tree.write(f"{base}/graviton-agent/conf.d/10-a.toml")
        assert found(tree) == [f"{base}/graviton-agent/conf.d/10-a.toml"]


def test_a_link_to_dev_null_hides_and_says_nothing(tree: Tree) -> None:
    tree.write("usr/lib/graviton-agent/conf.d/10-a.toml", "enabled = false")
    tree.link("etc/graviton-agent/conf.d/10-a.toml", os.devnull)
    loaded = tree.load()
    assert loaded.files == ()
    assert loaded.problems == ()
    assert loaded.host["enabled"].value is True


def test_hidden_files_and_other_suffixes_do_not_count(tree: Tree) -> None:
    tree.write("etc/graviton-agent/conf.d/.a.toml")
    tree.write("etc/graviton-agent/conf.d/a.toml.dpkg-old")
    assert found(tree) == []


def test_a_fifo_is_not_waited_for(tree: Tree) -> None:
    path = tree.write("etc/graviton-agent/conf.d/a.toml")
    path.unlink()
    os.mkfifo(path)
    assert sources.read(str(path)) is None


def test_a_file_that_is_too_large_is_not_read(tree: Tree) -> None:
    path = tree.write("etc/graviton-agent/conf.d/a.toml", b"#" * (sources.LARGEST + 1))
    assert sources.read(str(path)) is None
    path.write_bytes(b"#" * sources.LARGEST)
    assert sources.read(str(path)) is not None

"""The tests. They import each other by this name: `tests.packaging` is not the library `packaging`."""

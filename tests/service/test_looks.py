"""What is looked at together."""

import asyncio

from graviton_agent.service.looks import ALL, Looks


def looks() -> Looks:
    return Looks(settle_seconds=0.0, pause_seconds=0.0)


def test_what_comes_together_is_looked_at_together() -> None:
    async def ask() -> frozenset[str] | None:
        found = looks()
        found.ask(["a.service"])
        found.ask(["b.service", "a.service"])
        return await found.next()

    assert asyncio.run(ask()) == frozenset({"a.service", "b.service"})


def test_all_includes_each() -> None:
    async def ask() -> frozenset[str] | None:
        found = looks()
        found.ask(["a.service"])
        found.ask(ALL)
        return await found.next()

    assert asyncio.run(ask()) is ALL


def test_what_is_asked_for_meanwhile_is_looked_at_next() -> None:
    async def ask() -> list[frozenset[str] | None]:
        found = looks()
        found.ask(ALL)
        first = await found.next()
        found.ask(["a.service"])
        return [first, await found.next()]

    assert asyncio.run(ask()) == [ALL, frozenset({"a.service"})]


def test_nothing_is_looked_at_unasked() -> None:
    async def ask() -> None:
        found = looks()
        found.ask([])
        await asyncio.wait_for(found.next(), 0.05)

    try:
        asyncio.run(ask())
    except TimeoutError:
        return
    raise AssertionError("there was nothing to look at")

"""What many threads ask for at the same time, done for all of them at once by one of them. [store]

Whoever comes while something is under way joins the next time. One alone is its own leader and waits for nobody.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Waiting(Generic[Item, Result]):
    def __init__(self, item: Item) -> None:
        self.item = item
        self.is_done = False
        self.results: list[Result] = []  # one, when it is done well
        self.error: BaseException | None = None


class Together(Generic[Item, Result]):
    """``act`` does up to ``most`` items and gives a result for each; what it raises is raised for all of them."""

    def __init__(self, act: Callable[[list[Item]], Sequence[Result]], most: int) -> None:
        self._act, self._most = act, most
        self._arrived = threading.Lock()
        self._waiting: list[_Waiting[Item, Result]] = []
        self.turn = threading.Lock()  # held while ``act`` runs

    def __call__(self, item: Item) -> Result:
        own: _Waiting[Item, Result] = _Waiting(item)
        with self._arrived:
            self._waiting.append(own)
        with self.turn:
            if not own.is_done:
                self._lead(own)
        if own.error is not None:
            raise own.error
        return own.results[0]

    def _lead(self, own: _Waiting[Item, Result]) -> None:
        with self._arrived:
            group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            if own not in group:  # more came before us than are done at once: we lead, so we are in it
                self._waiting.remove(own)
                group.append(own)
        try:
            for one, result in zip(group, self._act([one.item for one in group]), strict=True):
                one.results.append(result)
        except BaseException as error:
            for one in group:
                one.error = error
        for one in group:
            one.is_done = True

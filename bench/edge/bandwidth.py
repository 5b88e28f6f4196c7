"""Memory bandwidth by STREAM's triad (a = b + s * c), on arrays that no cache holds, with as many threads as asked."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy

_ELEMENTS = 16 * 1024 * 1024
_ROUNDS = 8
# numpy takes two passes: a = s * c (one array read, one written), then a = a + b (two read, one written).
_BYTES_AN_ELEMENT = 8 * 5


def triad(threads: int = 1) -> float:
    """Bytes a second, the best of some rounds. numpy lets go of the interpreter's lock, so threads are real."""
    arrays = [[numpy.full(_ELEMENTS, value) for value in (1.0, 2.0, 3.0)] for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        return max(_round(pool, arrays) for _ in range(_ROUNDS))


def _round(pool: ThreadPoolExecutor, arrays: list[list[numpy.ndarray]]) -> float:
    began = time.perf_counter()
    list(pool.map(_pass, arrays))
    return len(arrays) * _ELEMENTS * _BYTES_AN_ELEMENT / (time.perf_counter() - began)


def _pass(three: list[numpy.ndarray]) -> None:
    a, b, c = three
    numpy.multiply(c, 3.0, out=a)
    numpy.add(a, b, out=a)


if __name__ == "__main__":
    for threads in (1, 2):
        print(f"{threads} threads: {triad(threads) / 1e9:.1f} GB/s")

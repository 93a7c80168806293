# SPDX-License-Identifier: GPL-2.0-or-later
"""Primes by a pool of processes; numbers go there and back in small parts."""

import multiprocessing
import sys

PART = 250
LIMIT = 15000


def primes(first):
    return [n for n in range(max(first, 2), first + PART)
            if all(n % d for d in range(2, int(n ** 0.5) + 1))]


if __name__ == '__main__':
    with multiprocessing.Pool(int(sys.argv[1])) as pool:
        parts = pool.map(primes, range(0, LIMIT, PART), chunksize=1)
    # The number of primes below 15,000.
    sys.exit(sum(map(len, parts)) != 1754)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Fails unless fio, by its report, has read so many KiB, without an error."""

import json
import sys


def main(path, wanted):
    with open(path, encoding='utf-8') as report:
        jobs = json.load(report)['jobs']
    read = sum(job['read']['io_kbytes'] for job in jobs)
    if read != int(wanted) or any(job['error'] for job in jobs):
        sys.exit(f'fio has verified {read} KiB of {wanted}')


if __name__ == '__main__':
    main(*sys.argv[1:])

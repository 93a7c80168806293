# SPDX-License-Identifier: GPL-2.0-or-later
"""Execute a command whose system calls of one number fail, as under a seccomp
profile: forbid.py NUMBER ERRNO COMMAND..."""

import ctypes
import os
import struct
import sys

SET_NO_NEW_PRIVS, SET_SECCOMP, FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7fff0000, 0x00050000


def forbid(number, error):
    """From now on, in this process and what it executes."""
    code = b''.join(struct.pack('HBBI', *step) for step in (
        (LOAD, 0, 0, 0), (EQUAL, 0, 1, number), (RETURN, 0, 0, FAIL | error),
        (RETURN, 0, 0, ALLOW)))
    steps = ctypes.create_string_buffer(code, len(code))
    program = struct.pack('HxxxxxxP', len(code) // 8, ctypes.addressof(steps))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((SET_NO_NEW_PRIVS, 1, 0), (SET_SECCOMP, FILTER, program)):
        if libc.prctl(*call, 0, 0):
            raise OSError(ctypes.get_errno(), 'no filter of system calls')


if __name__ == '__main__':
    forbid(int(sys.argv[1]), int(sys.argv[2]))
    os.execvp(sys.argv[3], sys.argv[3:])

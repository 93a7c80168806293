# SPDX-License-Identifier: GPL-2.0-or-later
"""root's shell on a guest's serial console, as an operator has it there."""

import os
import re
import select
import time

from ..common import Problem

LOOK_SECONDS = 0.5
READ_BYTES = 1 << 16
SHOWN = 2000
# Words that the terminal's echo of the command does not have.
STATUS = re.compile(rb'status:(\d+):')


class Shell:
    """Bytes of a console go to a log as they come.

    check() is called while the guest is silent, and raises a Problem when it
    cannot say more."""

    def __init__(self, reader, writer, log, check=lambda: None):
        self.reader, self.writer, self.check = reader, writer, check
        self.log = log
        self.pending = b''

    def until(self, pattern, seconds):
        """The text before, and the match; what follows is kept."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.pending)):
            if time.monotonic() > end:
                words = self.pending[-SHOWN:].decode(errors='replace')
                raise Problem(f'the guest did not say {pattern}; its last '
                              f'words: {words}')
            if not select.select([self.reader], [], [], LOOK_SECONDS)[0]:
                self.check()
                continue
            data = os.read(self.reader, READ_BYTES)
            if not data:
                raise Problem(f'the console ends before {pattern}')
            self.log.write(data)
            self.log.flush()
            self.pending += data
        before = self.pending[:found.start()]
        self.pending = self.pending[found.end():]
        return before, found

    def type(self, text):
        os.write(self.writer, text.encode() + b'\n')

    def login(self, seconds):
        """From a boot to the shell; the seconds to the prompt."""
        started = time.monotonic()
        self.until(rb'\w login: ', seconds)
        taken = time.monotonic() - started
        self.type('root')
        self.until(rb'[#] ', seconds)
        # bash says more than its commands do.  Neither what is typed, nor words
        # of the kernel, shall be in what they say.
        self.type('exec sh')
        self.type('stty -echo; dmesg -n 1; PS1=')
        self.run('true', seconds)
        return taken

    def run(self, command, seconds):
        """What a command says; it must succeed."""
        self.type(f'{{ {command}; }} 2>&1; echo "status:$?:"')
        said, found = self.until(STATUS, seconds)
        text = said.decode(errors='replace').replace('\r', '')
        if int(found.group(1)):
            raise Problem(f"'{command}' fails in the guest: {text}")
        return text.strip()

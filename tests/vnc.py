# SPDX-License-Identifier: GPL-2.0-or-later
"""A viewer of VNC (RFC 6143) that types and points, and looks at nothing."""

import socket
import struct

VERSION = b'RFB 003.008\n'
NO_PASSWORD = 1
SHARED = b'\1'
ENCODINGS, KEY, POINTER = 2, 4, 5
RAW = 0


class Vnc:
    """A connection to a Unix socket; width and height of the screen."""

    def __init__(self, path, timeout):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        self.file = self.socket.makefile('rb')
        assert self.file.read(len(VERSION)) == VERSION
        self.socket.sendall(VERSION)
        kinds = self.file.read(self.file.read(1)[0])
        assert NO_PASSWORD in kinds, kinds
        self.socket.sendall(bytes([NO_PASSWORD]))
        assert self.file.read(4) == bytes(4)
        self.socket.sendall(SHARED)
        self.width, self.height = struct.unpack('>HH', self.file.read(4))
        # Format of pixels, and the name.
        self.file.read(16)
        self.name = self.file.read(struct.unpack('>I', self.file.read(4))[0])
        # QEMU looks now whether the guest has a tablet, and after this only when that
        # changes.
        self.socket.sendall(struct.pack('>BxHi', ENCODINGS, 1, RAW))

    def key(self, symbol):
        """Press and release a key, by its X11 keysym."""
        for down in (1, 0):
            self.socket.sendall(struct.pack('>BBxxI', KEY, down, symbol))

    def point(self, x, y, buttons=0):
        self.socket.sendall(struct.pack('>BBHH', POINTER, buttons, x, y))

    def close(self):
        self.file.close()
        self.socket.close()

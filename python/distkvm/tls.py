# SPDX-License-Identifier: GPL-2.0-or-later
"""TLS as a program speaks it that is no node: GnuTLS, which QEMU needs anyway,
since Python's own has no shared keys.

What the other end shows is not checked: tests see to it that a node checks."""

import ctypes
import select

from .common import Problem
from .keys import PSK_USER
from .wire import Closed

CLIENT = 2
PEM = 1
HEX = 1
CERTIFICATE, PSK = 1, 4
AGAIN, INTERRUPTED = -28, -52
# As QEMU asks for it.
PRIORITIES = {'psk': b'NORMAL:+ECDHE-PSK:+DHE-PSK:+PSK', 'x509': b'NORMAL'}


class Datum(ctypes.Structure):
    """gnutls_datum_t"""
    _fields_ = [('data', ctypes.c_char_p), ('size', ctypes.c_uint)]


def library():
    """GnuTLS; nothing but its results are looked at."""
    try:
        lib = ctypes.CDLL('libgnutls.so.30')
    except OSError as error:
        raise Problem(f'there is no GnuTLS: {error}') from None
    lib.gnutls_record_send.restype = ctypes.c_ssize_t
    lib.gnutls_record_recv.restype = ctypes.c_ssize_t
    lib.gnutls_strerror.restype = ctypes.c_char_p
    return lib


class Tls:
    """The client's side of a secured connection; works like a socket."""

    def __init__(self, stream, psk=None, x509=None):
        """`psk` is a key in hexadecimal digits, `x509` a directory with
        client-cert.pem and client-key.pem, or empty to show nothing."""
        self.stream = stream
        self.timeout = stream.gettimeout()
        self.lib = library()
        self.session = ctypes.c_void_p()
        self.credentials = ctypes.c_void_p()
        # Memory that GnuTLS reads later has to live until then.
        self.kept = [psk and psk.encode()]
        self.check(self.lib.gnutls_init(ctypes.byref(self.session), CLIENT))
        self.check(self.lib.gnutls_priority_set_direct(
            self.session, PRIORITIES['psk' if psk else 'x509'], None))
        if psk:
            self.use_psk()
        else:
            self.use_x509(x509)
        fd = stream.fileno()
        self.lib.gnutls_transport_set_int2(self.session, fd, fd)
        self.repeat(self.lib.gnutls_handshake)

    def use_psk(self):
        key = Datum(self.kept[0], len(self.kept[0]))
        self.check(self.lib.gnutls_psk_allocate_client_credentials(
            ctypes.byref(self.credentials)))
        self.check(self.lib.gnutls_psk_set_client_credentials(
            self.credentials, PSK_USER.encode(), ctypes.byref(key), HEX))
        self.check(self.lib.gnutls_credentials_set(self.session, PSK,
                                                   self.credentials))

    def use_x509(self, directory):
        self.check(self.lib.gnutls_certificate_allocate_credentials(
            ctypes.byref(self.credentials)))
        if directory:
            files = [str(directory / f'client-{part}.pem').encode()
                     for part in ('cert', 'key')]
            self.check(self.lib.gnutls_certificate_set_x509_key_file(
                self.credentials, *files, PEM))
        self.check(self.lib.gnutls_credentials_set(self.session, CERTIFICATE,
                                                   self.credentials))

    def check(self, result):
        if result < 0:
            raise Closed(f'TLS: {self.lib.gnutls_strerror(result).decode()}')
        return result

    def repeat(self, function, *args):
        """Call, until it need not wait for the other end any more."""
        while True:
            result = function(self.session, *args)
            if result == AGAIN:
                writes = self.lib.gnutls_record_get_direction(self.session)
                ready = select.select([] if writes else [self.stream],
                                      [self.stream] if writes else [], [],
                                      self.timeout)
                if not any(ready):
                    raise TimeoutError('TLS: the other end says nothing')
            elif result != INTERRUPTED:
                return self.check(result)

    def sendall(self, data):
        while data:
            sent = self.repeat(self.lib.gnutls_record_send, data,
                               ctypes.c_size_t(len(data)))
            data = data[sent:]

    def recv(self, count):
        buffer = ctypes.create_string_buffer(count)
        got = self.repeat(self.lib.gnutls_record_recv, buffer,
                          ctypes.c_size_t(count))
        return buffer.raw[:got]

    def settimeout(self, seconds):
        self.timeout = seconds

    def close(self):
        # Abruptly, as an attacker does; and each thing once.
        if self.session:
            self.lib.gnutls_deinit(self.session)
            self.session = None
            free = self.lib.gnutls_psk_free_client_credentials \
                if self.kept[0] else \
                self.lib.gnutls_certificate_free_credentials
            free(self.credentials)
            self.stream.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def secure(stream, net, node=0, psk=None, x509=None):
    """What secures connections of this network, as a node of this number has
    it or with other keys; the stream itself where nothing does."""
    if net.kind == 'psk':
        return Tls(stream, psk=psk or net.psk)
    if net.kind == 'x509':
        return Tls(stream, x509=net.keys[node] if x509 is None else x509)
    return stream

# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys of a cluster: one shared secret, or a certificate for each node.

They are made where they are used and die with their directory: a key that
outlives its cluster would open the next one."""

import os
import secrets
from pathlib import Path

from .common import Problem, quiet

# Name that QEMU takes for the key, unless told otherwise.
PSK_USER = 'qemu'
PSK_BYTES = 32
RSA_BITS = '2048'


def private(path, text):
    """A file that only its owner may read, from its first moment."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, 'w', encoding='ascii') as file:
        file.write(text)


def new_psk():
    """A shared key, in hexadecimal digits as GnuTLS reads it."""
    return secrets.token_hex(PSK_BYTES)


def make_psk(directory, key=None):
    """A directory for tls-creds-psk; the key in it."""
    directory.mkdir(mode=0o700)
    key = key or new_psk()
    private(directory / 'keys.psk', f'{PSK_USER}:{key}\n')
    return key


def certtool(*args):
    try:
        return quiet(['certtool', *args])
    except FileNotFoundError:
        raise Problem('there is no certtool: apt-get install gnutls-bin') \
            from None


class Authority:
    """Who signs the certificates of a cluster."""

    def __init__(self, directory, name='distkvm'):
        self.directory = Path(directory)
        self.directory.mkdir(mode=0o700)
        self.key = self.directory / 'ca-key.pem'
        self.certificate = self.directory / 'ca-cert.pem'
        self.new_key(self.key)
        template = self.template(
            'ca', f'cn = "{name}"\nca\ncert_signing_key\n')
        certtool('--generate-self-signed', '--load-privkey', self.key,
                 '--template', template, '--outfile', self.certificate)

    @staticmethod
    def new_key(path):
        # QEMU takes no certificate whose key cannot encrypt: so no ECDSA.
        private(path, '')
        certtool('--generate-privkey', '--key-type', 'rsa', '--bits',
                 RSA_BITS, '--outfile', path)

    def template(self, name, text):
        path = self.directory / f'{name}.template'
        path.write_text(text)
        return path

    def issue(self, directory, host, dates='expiration_days = 2\n',
              trusts=None):
        """A directory for tls-creds-x509, for a node at this address.

        `dates` are lines of certtool's template; `trusts` is the authority
        that the node itself trusts, if not this one."""
        directory.mkdir(mode=0o700)
        name = 'ip_address' if host.replace('.', '').isdigit() or \
            ':' in host else 'dns_name'
        template = self.template(directory.name, (
            f'cn = "{host}"\n{name} = "{host}"\n{dates}tls_www_server\n'
            'tls_www_client\nsigning_key\nencryption_key\n'))
        key, certificate = (directory / f'server-{part}.pem'
                            for part in ('key', 'cert'))
        self.new_key(key)
        certtool('--generate-certificate', '--load-privkey', key,
                 '--load-ca-certificate', self.certificate,
                 '--load-ca-privkey', self.key, '--template', template,
                 '--outfile', certificate)
        # Each node listens and dials: the same for both of QEMU's roles.
        (directory / 'client-key.pem').symlink_to(key)
        (directory / 'client-cert.pem').symlink_to(certificate)
        (directory / 'ca-cert.pem').symlink_to(
            (trusts or self).certificate)
        return directory

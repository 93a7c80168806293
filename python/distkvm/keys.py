# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys of a cluster: one shared secret, or a certificate for each node.

Those of tests are made where they are used and die with their directory: a key
that outlives its cluster would open the next one."""

import contextlib
import ipaddress
import os
import secrets
import stat
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from .common import Problem, quiet

# Name that QEMU takes for the key, unless told otherwise.
PSK_USER = 'qemu'
PSK_BYTES = 32
PSK = 'keys.psk'
# Files that QEMU reads in a directory of certificates.
X509 = ('ca-cert.pem', 'server-cert.pem', 'server-key.pem', 'client-cert.pem',
        'client-key.pem')
# A file that is to replace another one has its name and this.
NEW = '.new'
# Of tests, whose keys live for seconds.
RSA_BITS = 2048
# Of others, which live for a year.
RSA_BITS_LASTING = 3072
# Of a common name, in letters.
CN_MAX = 64
# A host whose clock is behind takes a new certificate all the same.
BACKDATED = timedelta(days=1)


def private(path, text, owner=None, dir_fd=None):
    """A file that only its owner may read, from its first moment; `owner` is
    a status of another file with the same one.  It has the whole text, or is
    not there."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW,
                 0o600, dir_fd=dir_fd)
    try:
        with open(fd, 'w', encoding='ascii') as file:
            # The owner of the directory may have put another file at the path.
            if owner:
                os.fchown(fd, owner.st_uid, owner.st_gid)
            file.write(text)
    except BaseException:
        # Nobody would know a part of a key for one's own, and remove it.
        remove(path, dir_fd)
        raise


def new_psk():
    """A shared key, in hexadecimal digits as GnuTLS reads it."""
    return secrets.token_hex(PSK_BYTES)


def make_psk(directory, key=None):
    """A directory for tls-creds-psk; the key in it."""
    directory.mkdir(mode=0o700)
    key = key or new_psk()
    private(directory / 'keys.psk', f'{PSK_USER}:{key}\n')
    return key


@contextlib.contextmanager
def key_directory(path):
    """A descriptor of a directory of keys, and its status.

    All steps go through the descriptor: an owner who renames the directory, or
    makes a link of it, does not lead root elsewhere."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except NotADirectoryError:
        raise Problem(f'{path} is no directory, or a link: name the '
                      'directory itself') from None
    try:
        yield fd, os.fstat(fd)
    finally:
        os.close(fd)


def check_owner(path, found):
    if os.geteuid() not in (0, found.st_uid) or \
            stat.S_IMODE(found.st_mode) & 0o077:
        raise Problem(f'{path} is not for its user alone: chmod 700 {path}, '
                      'and give it to the user of the nodes')


def check_way(path, owner):
    """Root goes to the directory of `owner` by a way that nobody else can
    change meanwhile; who could, would choose where root writes."""
    if os.geteuid():
        return
    for parent in {*path.absolute().parents, *path.resolve().parents}:
        try:
            found = parent.lstat()
        except FileNotFoundError:
            # Root makes it, once the way to it has been looked at.
            continue
        open_ = stat.S_IMODE(found.st_mode) & 0o022 and \
            stat.S_ISDIR(found.st_mode) and not found.st_mode & stat.S_ISVTX
        if found.st_uid not in (0, owner) or open_:
            raise Problem(f'{parent} belongs neither to root nor to the owner '
                          f'of {path}, or others may write to it: name a '
                          'directory elsewhere, or make keys as its owner')


def remove(name, fd):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=fd)


def mode_of(name, fd):
    """Of what is at a name, a link itself; 0 if nothing is."""
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def read_key(name, fd):
    """A key that is there; None if there is none.  A link is no key, wherever
    it leads: a new key takes the place of the link."""
    mode = mode_of(name, fd)
    if mode and not stat.S_ISREG(mode):
        return ''
    try:
        found = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK,
                        dir_fd=fd)
    except FileNotFoundError:
        return None
    # Certificates of another authority may have comments in any language.
    with open(found, encoding='ascii', errors='surrogateescape') as file:
        return file.read()


def put_files(directory, step, files):
    """A step in which a host gets keys, by their files' names: `look` whether
    it has any; `put` new ones beside them; `hold` whether those are there;
    `use` the new ones; `drop` the new ones.

    All hosts do one step before any does the next, so that no two hosts
    have different keys if one of them refuses."""
    try:
        return put_step(Path(directory), step, files)
    except PermissionError as error:
        closed = Path(directory, error.filename or '')
        raise Problem(f'{closed} is closed to this user: make keys as the '
                      'user of the nodes, or as root') from None
    except OSError as error:
        # One of a descriptor has its number for a name.
        bad = Path(directory, error.filename) \
            if isinstance(error.filename, str) else directory
        raise Problem(f'{bad}: {error.strerror}') from None


def put_step(directory, step, files):
    if step == 'put':
        if not directory.exists():
            check_way(directory, os.geteuid())
        # Of a link that leads nowhere key_directory() says it.
        if not directory.is_symlink():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif not directory.exists() and not directory.is_symlink():
        return {'exists': False}
    with key_directory(directory) as (fd, found):
        if step == 'put':
            check_owner(directory, found)
            check_way(directory, found.st_uid)
        for name, text in files.items():
            file_step(directory, fd, step, name, text, found)
        return {'exists': any(mode_of(name, fd) for name in files)}


def file_step(directory, fd, step, name, text, found):
    """The same for one file; `found` is the status of its directory."""
    new = name + NEW
    if step == 'put':
        if stat.S_ISDIR(mode_of(name, fd)):
            raise Problem(f'{directory}/{name} is a directory, which no key '
                          'can replace: name another directory, or remove it')
        remove(new, fd)
        # Root makes keys for the user of the nodes, as libvirt's.
        private(new, text, None if os.geteuid() else found, fd)
    elif step == 'hold' or step == 'use' and read_key(name, fd) != text:
        # Hosts may share the directory: the first one has used it.
        if read_key(new, fd) != text:
            raise Problem(f'{directory}/{new} is another key: somebody else '
                          'makes keys, or two hosts with certificates of '
                          'their own share that directory')
        if step == 'use':
            os.replace(new, name, src_dir_fd=fd, dst_dir_fd=fd)
    elif step == 'drop' and read_key(new, fd) in (None, text):
        remove(new, fd)


def certtool(*args):
    try:
        return quiet(['certtool', *args])
    except FileNotFoundError:
        raise Problem('there is no certtool: apt-get install gnutls-bin') \
            from None


def san(host):
    """A line of certtool's template for a host, by its name or address."""
    try:
        return f'ip_address = "{ipaddress.ip_address(host)}"\n'
    except ValueError:
        return f'dns_name = "{host}"\n'


def lasting(days):
    """Lines of certtool's template for a certificate that holds from now on."""
    now = datetime.now(UTC)
    dates = (('activation', now - BACKDATED),
             ('expiration', now + timedelta(days=days)))
    return ''.join(f'{name}_date = "{at:%Y-%m-%d %H:%M:%S} UTC"\n'
                   for name, at in dates)


class Authority:
    """Who signs the certificates of a cluster."""

    def __init__(self, directory, name='distkvm', bits=RSA_BITS, dates=''):
        self.directory = Path(directory)
        self.directory.mkdir(mode=0o700)
        self.bits = bits
        self.key = self.directory / 'ca-key.pem'
        self.certificate = self.directory / 'ca-cert.pem'
        self.new_key(self.key)
        template = self.template(
            'ca', f'cn = "{name[:CN_MAX]}"\n{dates}ca\ncert_signing_key\n')
        certtool('--generate-self-signed', '--no-text', '--load-privkey',
                 self.key, '--template', template, '--outfile',
                 self.certificate)

    def new_key(self, path):
        # QEMU takes ECDSA as well: it asks that a key can sign.
        private(path, '')
        certtool('--generate-privkey', '--no-text', '--key-type', 'rsa',
                 '--bits', self.bits, '--outfile', path)

    def template(self, name, text):
        path = self.directory / f'{name}.template'
        path.write_text(text)
        return path

    def issue(self, directory, host, dates='expiration_days = 2\n',
              trusts=None, also=()):
        """A directory for tls-creds-x509, for a node at this address, or
        several nodes of a host that has other addresses, too.

        `dates` are lines of certtool's template; `trusts` is the authority
        that the node itself trusts, if not this one."""
        directory.mkdir(mode=0o700)
        names = ''.join(map(san, dict.fromkeys([host, *also])))
        template = self.template(directory.name, (
            f'cn = "{host[:CN_MAX]}"\n{names}{dates}tls_www_server\n'
            'tls_www_client\nsigning_key\nencryption_key\n'))
        key, certificate = (directory / f'server-{part}.pem'
                            for part in ('key', 'cert'))
        self.new_key(key)
        certtool('--generate-certificate', '--no-text', '--load-privkey', key,
                 '--load-ca-certificate', self.certificate,
                 '--load-ca-privkey', self.key, '--template', template,
                 '--outfile', certificate)
        # Each node listens and dials: the same for both of QEMU's roles.
        (directory / 'client-key.pem').symlink_to(key)
        (directory / 'client-cert.pem').symlink_to(certificate)
        (directory / 'ca-cert.pem').symlink_to(
            (trusts or self).certificate)
        return directory


def new_certificates(name, places, days):
    """For each list of hosts the files of a certificate that names them all,
    signed by an authority whose key nobody has afterwards.

    Members do not come to a cluster that runs, so nothing is to be signed
    later; a key that is nowhere cannot be stolen."""
    with tempfile.TemporaryDirectory(prefix='distkvm-keys-') as path:
        dates = lasting(days)
        authority = Authority(Path(path) / 'ca', name, RSA_BITS_LASTING, dates)
        made = [authority.issue(Path(path) / str(number), hosts[0], dates,
                                also=hosts[1:])
                for number, hosts in enumerate(places)]
        return [{name: (each / name).read_text(encoding='ascii')
                 for name in X509} for each in made]

# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the keys in a directory of this host are fit for its nodes.

A TLS handshake of the directory with itself finds what another node would:
certificates that have expired, that another authority has signed, or whose
key is another one.  The names in certificates are compared here, since Python
looks at those of one end only.  QEMU has rules of its own for the files of a
node, which differ between its versions: so the host's QEMU loads them, too."""

import contextlib
import hashlib
import hmac
import ipaddress
import re
import ssl
import time
from pathlib import Path

from ..keys import PSK, PSK_USER, X509
from .facts import readable
from .trial import BARE, Limit, Untried, says

CA, CERT, KEY, CLIENT_CERT, CLIENT_KEY = X509
# Roles of a node: the certificate that it shows, and its key.
ENDS = {'server': (CERT, KEY), 'client': (CLIENT_CERT, CLIENT_KEY)}
PEM = re.compile('-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----',
                 re.S)
# As tls-creds-psk reads it.
PSK_LINE = re.compile(rf'^{PSK_USER}:((?:[0-9a-f]{{2}})+)$', re.M | re.I)
DAY_SECONDS = 86400
# More flights than a handshake has.
FLIGHTS = 10


class Unfit(Exception):
    """Keys with which a node would not start, or be refused."""


def context(directory, role, authority=None):
    """As a node has it at one end; what GnuTLS takes is not refused for its
    strength here.  `authority` is the text of one that is trusted in place of
    those of the directory."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if role == 'server' else
                          ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    # GnuTLS trusts an intermediate authority without the one above it.
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    made.set_ciphers('DEFAULT:@SECLEVEL=0')
    certificate, key = ENDS[role]
    try:
        made.load_verify_locations(None if authority else directory / CA,
                                   cadata=authority)
    except (ssl.SSLError, ValueError):
        raise Unfit(f'{CA} has no certificate') from None
    try:
        # Without a password it asks on the terminal.
        made.load_cert_chain(directory / certificate, directory / key,
                             password=lambda: '')
    except (ssl.SSLError, ValueError) as error:
        why = 'another key' if 'MISMATCH' in str(error) else 'no key'
        raise Unfit(f'{key} is {why} of {certificate}') from None
    return made


def shake_hands(contexts):
    """The certificates that each end has shown to the other, by role."""
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = {'client': contexts['client'].wrap_bio(ours, theirs),
            'server': contexts['server'].wrap_bio(theirs, ours,
                                                  server_side=True)}
    for _ in range(FLIGHTS):
        for role, end in ends.items():
            other = 'server' if role == 'client' else 'client'
            try:
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
            except ssl.SSLCertVerificationError as error:
                raise Unfit(f'{ENDS[other][0]}, or {CA}: '
                            f'{error.verify_message}') from None
            except ssl.SSLError as error:
                raise Unfit(f'{CERT}, or {CLIENT_CERT}: no TLS with it '
                            f'({error.reason})') from None
    # Each end has the other's.
    return {'server': ends['client'].getpeercert(),
            'client': ends['server'].getpeercert()}


def trusted_by(directory, shown, authority):
    """Whether a node that trusts this authority alone takes the certificate
    that the directory has for the role `shown`."""
    contexts = {role: context(directory, role, authority) for role in ENDS}
    contexts[shown].verify_mode = ssl.CERT_NONE
    try:
        shake_hands(contexts)
        return True
    except Unfit:
        return False


def parts(der):
    """The elements of a sequence of DER, each with its head."""
    at, end = content(der, 0)
    while at < end:
        _, after = content(der, at)
        yield der[at:after]
        at = after


def content(der, at):
    """Where the content of an element begins and ends."""
    size, begin = der[at + 1], at + 2
    if size & 0x80:
        begin += size & 0x7f
        size = int.from_bytes(der[at + 2:begin], 'big')
    return begin, begin + size


def mark_of(pem):
    """Of an authority: its name and key, which stay when its certificate is
    made anew, and by which GnuTLS finds the one that has signed another."""
    certificate = list(parts(next(parts(ssl.PEM_cert_to_DER_cert(pem)))))
    # The version is there in all but the oldest ones.
    name, key = certificate[5:7] if certificate[0][0] == 0xa0 else \
        certificate[4:6]
    return hashlib.sha256(name + key).hexdigest()


def address(text):
    try:
        return ipaddress.ip_address(text.strip())
    except ValueError:
        return None


def is_for(certificate, host):
    """Whether a certificate names a host, as GnuTLS compares."""
    names = list(certificate.get('subjectAltName', ()))
    if not any(kind == 'DNS' for kind, _ in names):
        names += [('DNS', value) for part in certificate.get('subject', ())
                  for key, value in part if key == 'commonName']
    for kind, name in names:
        if kind == 'IP Address' and address(host) and \
                address(name) == address(host):
            return True
        label, _, rest = name.lower().partition('.')
        own, _, domain = host.lower().partition('.')
        if kind == 'DNS' and (name.lower() == host.lower() or
                              label == '*' and rest and rest == domain and own):
            return True
    return False


def names_of(certificate):
    return ', '.join(name for _, name in certificate.get('subjectAltName', ())
                     ) or 'no host'


def texts_of(directory, name):
    """Of all certificates in a file."""
    return PEM.findall((directory / name).read_text(encoding='ascii',
                                                    errors='replace'))


def authorities(directory):
    """All that a directory has, those shown with its own certificates too.
    QEMU does not start with one that has expired, also if it signs nothing."""
    texts = texts_of(directory, CA)
    for own, _ in ENDS.values():
        texts += texts_of(directory, own)[1:]
    store = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    store.load_verify_locations(cadata='\n'.join(texts))
    return store.get_ca_certs()


def signers(directory, role):
    """Marks of the authorities by which another node may trust what the
    directory shows in a role; some of them may be shown with it."""
    known = {text: mark_of(text) for text in
             texts_of(directory, CA) + texts_of(directory, ENDS[role][0])[1:]}
    return sorted({mark for text, mark in known.items()
                   if trusted_by(directory, role, text)})


def certificates(directory, hosts):
    """The facts of a directory of certificates, see proofs(); Unfit unless
    nodes at all of these hosts may show those."""
    pair = shake_hands({role: context(directory, role) for role in ENDS})
    for role, certificate in pair.items():
        for host in hosts:
            if not is_for(certificate, host):
                raise Unfit(f'{ENDS[role][0]} is for '
                            f'{names_of(certificate)}, and not for {host}')
    until = min(ssl.cert_time_to_seconds(each['notAfter'])
                for each in [*pair.values(), *authorities(directory)])
    return {'marks': sorted(set(map(mark_of, texts_of(directory, CA)))),
            'own': [signers(directory, role) for role in ENDS],
            'days': (until - time.time()) / DAY_SECONDS}


def shared_key(directory, nonce):
    """A mark of a shared key, which does not tell the key; Unfit if there is
    none."""
    text = (directory / PSK).read_text(encoding='ascii', errors='replace')
    found = PSK_LINE.search(text)
    if not found:
        raise Unfit(f'{PSK} has no key of the user "{PSK_USER}"')
    marks = [hmac.digest(nonce.encode(), bytes.fromhex(found.group(1)),
                         'sha256').hex()]
    return {'marks': marks, 'own': [marks]}


def refuse_unloaded(kind, path, qemu, limit):
    """Unfit, in the words of a QEMU that does not load a directory as a node
    does, at both ends; Untried if it does not end, or not start at all."""
    bare = [*BARE, '-machine', 'none']
    objects = [f'tls-creds-{kind},id={role},dir={path.replace(",", ",,")},'
               f'endpoint={role}' for role in ENDS]
    words = says(qemu, [*bare, *(
        word for each in objects for word in ('-object', each))], limit)
    if words:
        alone = says(qemu, bare, limit)
        if alone:
            raise Untried(f'{qemu} does not start without keys either: {alone}',
                          'see why, and run check again')
        for each in objects:
            words = words.removeprefix(f'-object {each}: ')
        raise Unfit(f'QEMU does not load {path}: {words}')


def proof(kind, nonce, path, hosts, loader=None):
    """Of one directory; see proofs().  `loader`: a QEMU, and its Limit."""
    directory = Path(path)
    names = [PSK] if kind == 'psk' else X509
    # Those are errors of their own.
    if any(readable(directory / name) for name in names):
        return {}
    try:
        found = shared_key(directory, nonce) if kind == 'psk' else \
            certificates(directory, hosts)
    except Unfit as error:
        return {'reason': f'{path}/{error}'}
    except OSError as error:
        return {'reason': f'{error.filename or path}: '
                          f'{error.strerror or error}'}
    except (ValueError, IndexError, StopIteration) as error:
        return {'reason': f'{path} has a certificate that cannot be read '
                          f'({error})'}
    try:
        if loader:
            refuse_unloaded(kind, str(path), *loader)
    except Unfit as error:
        return {'reason': str(error)}
    except Untried as untried:
        return {**found, 'untried': (untried.reason, untried.remedy)}
    return found


def proofs(request):
    """By directory: the `reason` why its keys are not fit; or `marks`, of what
    its nodes trust; `own`, lists of marks: another node trusts these keys if it
    trusts one mark of each list; and for certificates the `days` for which they
    hold.  `untried`: why QEMU has not said whether it loads them, and a remedy.

    `request`: the kind of credentials, a nonce, by directory the hosts of its
    nodes' addresses, and by directory the `loader`: a QEMU that runs here."""
    # Times of several directories would add up to more than a host has for its
    # answer.
    limits, found = {}, {}
    for path, hosts in request['directories'].items():
        qemu = request.get('loader', {}).get(path)
        loader = qemu and (qemu, limits.setdefault(qemu, Limit()))
        found[path] = proof(request['kind'], request['nonce'], path, hosts,
                            loader)
    return found

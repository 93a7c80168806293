# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the keys in a directory of this host are fit for its nodes.

A TLS handshake of the directory with itself finds what another node would:
certificates that have expired, that another authority has signed, or whose
key is another one.  The names in certificates are compared here, since Python
looks at those of one end only."""

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


def context(directory, role):
    """As a node has it at one end; what GnuTLS takes is not refused for its
    strength here."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if role == 'server' else
                          ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.set_ciphers('DEFAULT:@SECLEVEL=0')
    certificate, key = ENDS[role]
    try:
        made.load_verify_locations(directory / CA)
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


def shown(directory):
    """The certificates that each end has shown to the other, by role."""
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = {'client': context(directory, 'client').wrap_bio(ours, theirs),
            'server': context(directory, 'server').wrap_bio(
                theirs, ours, server_side=True)}
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
                raise Unfit(f'no TLS: {error.reason}') from None
    # Each end has the other's.
    return {'server': ends['client'].getpeercert(),
            'client': ends['server'].getpeercert()}


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


def certificates(directory, hosts):
    """The marks of authorities that a directory of certificates trusts, and
    when its own expire; Unfit unless nodes at all of these hosts may show
    those."""
    pair = shown(directory)
    for role, certificate in pair.items():
        for host in hosts:
            if not is_for(certificate, host):
                raise Unfit(f'{ENDS[role][0]} is for '
                            f'{names_of(certificate)}, and not for {host}')
    text = (directory / CA).read_text(encoding='ascii', errors='replace')
    marks = [hashlib.sha256(ssl.PEM_cert_to_DER_cert(each)).hexdigest()
             for each in PEM.findall(text)]
    return marks, min(ssl.cert_time_to_seconds(each['notAfter'])
                      for each in pair.values())


def shared_key(directory, nonce):
    """A mark of a shared key that tells nothing of it; Unfit if there is none."""
    text = (directory / PSK).read_text(encoding='ascii', errors='replace')
    found = PSK_LINE.search(text)
    if not found:
        raise Unfit(f'{PSK} has no key of the user "{PSK_USER}"')
    return [hmac.digest(nonce.encode(), bytes.fromhex(found.group(1)),
                        'sha256').hex()]


def proof(kind, nonce, path, hosts):
    """Of one directory; see proofs()."""
    directory = Path(path)
    names = [PSK] if kind == 'psk' else X509
    # Those are errors of their own.
    if any(readable(directory / name) for name in names):
        return {}
    try:
        if kind == 'psk':
            return {'marks': shared_key(directory, nonce)}
        marks, until = certificates(directory, hosts)
        return {'marks': marks, 'days': (until - time.time()) / DAY_SECONDS}
    except (Unfit, OSError) as error:
        return {'reason': f'{path}/{error}'}
    except ValueError:
        return {'reason': f'{path}/{CA} is no certificate'}


def proofs(request):
    """By directory: the `reason` why its keys are not fit; or `marks`, of which
    nodes that let each other in have one in common, and the `days` for which
    its certificates hold.

    `request`: the kind of credentials, a nonce, and by directory the hosts of
    its nodes' addresses."""
    return {path: proof(request['kind'], request['nonce'], path, hosts)
            for path, hosts in request['directories'].items()}

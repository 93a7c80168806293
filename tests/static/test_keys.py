# SPDX-License-Identifier: GPL-2.0-or-later
"""keys and check: certificates for the hosts of a cluster file."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from distkvm import cluster_file, keys
from distkvm.cli import keys as verb
from distkvm.common import CALL, QEMU, QEMU_IMG, Problem
from distkvm.keys import PSK, X509, Authority, put_files
from distkvm.operate import between, check, facts, proofs, trial
from distkvm.operate.remote import Hosts
from naming import cases, named
from operating import QEMU as FAKE_QEMU
from operating import place, two_hosts

pytestmark = pytest.mark.overlaps

EXPIRED = 'activation_date = "2001-01-01 00:00:00"\n' \
    'expiration_date = "2001-02-01 00:00:00"\n'
FUTURE = 'activation_date = "2051-01-01 00:00:00"\n' \
    'expiration_date = "2051-02-01 00:00:00"\n'
AGAIN = f'run {CALL} keys --renew '
CA = X509[0]


def with_certificates(found):
    """The file of two hosts; each has a directory of its own."""
    text = found.file.read_text().replace(
        '[cluster]', '[cluster]\ncredentials = "x509"')
    for name, key in (('a', 'address = "localhost'), ('b', 'host = "root')):
        text = text.replace(f'[[node]]\n{key}',
                            f'[[node]]\nkeys = "{found.path}/{name}"\n{key}')
    found.file.write_text(text)
    return text


def the_error(found, *wanted):
    """The one error of check, which is in the line of a key."""
    errors = found.tool('check', status=2).stderr.splitlines()
    errors = [line for line in errors if 'warning: ' not in line]
    assert len(errors) == 1, errors
    line = re.match(rf'{re.escape(str(found.file))}:(\d+): key '
                    r'node\[1\]\.keys: ', errors[0])
    assert line and all(words in errors[0] for words in wanted), errors
    text = found.file.read_text().splitlines()[int(line.group(1)) - 1]
    assert text.startswith('keys = ')


@named('static: keys: certificates are made, checked, and not overwritten')
def test_made(tmp_path):
    with place() as found:
        two_hosts(found)
        text = with_certificates(found)
        the = {n: found.path / n for n in 'ab'}
        said = found.tool('keys', '--days', '10').stderr
        for name, host in (('a', 'local'), ('b', 'root@hostB')):
            assert re.search(rf'a new certificate is in {the[name]} on {host},'
                             r' for localhost:\d+ and 10 days\n', said)
            assert stat.S_IMODE(the[name].stat().st_mode) == 0o700
            assert sorted(p.name for p in the[name].iterdir()) == sorted(X509)
            assert {stat.S_IMODE(p.stat().st_mode)
                    for p in the[name].iterdir()} == {0o600}
        # Each has a key of its own, and nobody has the authority's.
        own = {(d / 'server-key.pem').read_text() for d in the.values()}
        assert len(own) == 2 and "authority's key is kept nowhere" in said
        assert not list(found.path.rglob('ca-key.pem'))
        said = found.tool('check').stderr
        assert re.search(rf'warning: {found.file}:\d+: key node\[0\]\.keys: on'
                         rf' \S+: certificates in {the["a"]} expire in 10 days'
                         f', {AGAIN}', said), said
        said = found.tool('keys', status=2).stderr.splitlines()
        assert len(said) == 2 and all(
            'has certificates already, write --renew' in s and
            s.endswith('(no copy is kept)') for s in said)
        assert own == {(d / 'server-key.pem').read_text()
                       for d in the.values()}
        # The second host has others.
        for name, dates, wanted in (
                ('old', EXPIRED, 'server-cert.pem, or ca-cert.pem: '
                 f'certificate has expired, {AGAIN}'),
                ('new', keys.lasting(30), 'has no authority that signed the '
                 f'certificates in {the["a"]} on ')):
            Authority(tmp_path / f'{name}-ca').issue(
                tmp_path / name, 'localhost', dates)
            found.file.write_text(text.replace(str(the['b']),
                                               str(tmp_path / name)))
            the_error(found, wanted)


@pytest.fixture(scope='module', name='authority')
def one_authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('keys') / 'ca')


@pytest.fixture(scope='module')
def right(authority):
    """A directory without mistakes."""
    return authority.issue(authority.directory.parent / 'right', 'localhost')


def another(host='localhost', **more):
    """Certificates of another authority."""
    return lambda directory: Authority(
        directory.with_name('ca')).issue(directory, host, **more)


def stranger(directory):
    ours, other = (Authority(directory.with_name(n)) for n in ('ca', 'x'))
    ours.issue(directory, 'localhost', trusts=other)


def changed(name, text):
    def change(directory):
        shutil.copytree(change.right, directory)
        (directory / name).write_text(text or (
            directory / 'ca-cert.pem').read_text())
    return change


# Changes of a directory, and why it is not fit then.
MISTAKES = {
    'a certificate of the future': (another(dates=FUTURE), 'server-cert.pem, '
                                    'or ca-cert.pem: certificate is not yet'),
    'a certificate of another host': (another('hostC'), 'server-cert.pem is '
                                      'for hostC, and not for localhost'),
    'a certificate of no authority that it trusts':
        (stranger, 'server-cert.pem, or ca-cert.pem: '),
    "another one's key": (changed('server-key.pem', keys.X509[0]),
                          'server-key.pem is no key of server-cert.pem'),
    'no authority': (changed('ca-cert.pem', '\n'),
                     'ca-cert.pem has no certificate'),
    'the certificate of the authority': (
        changed('client-cert.pem', None),
        'client-key.pem is another key of client-cert.pem'),
}


@cases('change, wanted', {f'static: check: {name}': mistake
                          for name, mistake in MISTAKES.items()})
def test_mistake(right, tmp_path, change, wanted):
    assert 'marks' in proofs.proof('x509', '', right, ['localhost'])
    change.__dict__['right'] = right
    directory = tmp_path / 'keys'
    change(directory)
    found = proofs.proof('x509', '', directory, ['localhost'])
    assert found['reason'].startswith(f'{directory}/{wanted}'), found


def signed(authority, by, dates=''):
    """The certificate of an authority, made anew by another one or itself."""
    template = authority.template('again', (
        authority.directory / 'ca.template').read_text() + dates)
    path = authority.directory / 'again.pem'
    keys.certtool('--generate-certificate', '--no-text', '--load-privkey',
                  authority.key, '--load-ca-certificate', by.certificate,
                  '--load-ca-privkey', by.key, '--template', template,
                  '--outfile', path)
    return path.read_text()


def proof_of(directory):
    found = proofs.proof('x509', '', directory, ['localhost'])
    assert 'reason' not in found, found
    return found


@named('static: check: an intermediate authority, trusted without the root')
def test_intermediate(authority, tmp_path):
    """Nodes let each other in; so they do if one of them trusts the root, and
    the other one shows the intermediate's certificate with its own."""
    below = Authority(tmp_path / 'below', 'below')
    root = authority.certificate.read_text()
    below.certificate.write_text(signed(below, authority))
    directory = below.issue(tmp_path / 'leaf', 'localhost')
    found = proof_of(directory)
    assert found['own'] == [found['marks']] * 2 and len(found['marks']) == 1
    above = {'marks': [proofs.mark_of(root)], 'own': []}
    assert not between.trusts(above, found)
    with (directory / 'server-cert.pem').open('a') as file:
        file.write(below.certificate.read_text())
    assert between.trusts(found, proof_of(directory))
    (directory / CA).unlink()
    (directory / CA).write_text(below.certificate.read_text() + root)
    assert between.trusts(found, proof_of(directory))
    assert between.trusts(above, proof_of(directory))


def with_authority(more):
    """A directory whose ca-cert.pem has another text besides."""
    def change(directory):
        shutil.copytree(change.right, directory)
        text = more(directory, directory.with_name('more'))
        with (directory / CA).open('a') as file:
            file.write(text)
    return change


def expired(_, path):
    old = Authority(path, 'old')
    return signed(old, old, EXPIRED)


def chain(trusted):
    """A directory that shows an intermediate authority, and trusts the root,
    or both."""
    def change(directory):
        root, below = (Authority(directory.with_name(n), n) for n in 'rb')
        below.certificate.write_text(signed(below, root))
        text = root.certificate.read_text()
        root.certificate.write_text(text + (
            below.certificate.read_text() if trusted else ''))
        below.issue(directory, 'localhost', trusts=root)
        with (directory / 'server-cert.pem').open('a') as file:
            file.write(below.certificate.read_text())
    return change


# Changes of a directory, and a host for which it is fit; None if QEMU does not
# load it.
LOADED = {
    'no change': (with_authority(lambda *_: ''), 'localhost'),
    'two authorities': (with_authority(
        lambda _, path: Authority(path, 'new').certificate.read_text()),
        'localhost'),
    'an authority that has expired, besides': (with_authority(expired), None),
    'a certificate of a host among authorities': (with_authority(
        lambda directory, _: (directory / 'server-cert.pem').read_text()),
        None),
    'an intermediate authority, not trusted itself': (chain(False), None),
    'an intermediate authority and the root': (chain(True), 'localhost'),
    'a list of revocations that is none': (
        changed('ca-crl.pem', 'none\n'), None),
    **{name: (change, 'hostC' if name == 'a certificate of another host' else
              None) for name, (change, _) in MISTAKES.items()}}


def refusal(directory):
    """What another program of QEMU says of a directory that it does not
    load."""
    if not QEMU_IMG.exists() or not QEMU.exists():
        pytest.skip(f'needs {QEMU} and {QEMU_IMG}: scripts/distkvm build')
    said = [subprocess.run(
        [QEMU_IMG, 'info', '--object', 'tls-creds-x509,id=k,dir='
         f'{str(directory).replace(",", ",,")},endpoint={role}', '/dev/null'],
        check=False, text=True, capture_output=True) for role in proofs.ENDS]
    return ''.join(done.stderr for done in said if done.returncode)


@cases('change, host', {f'static: check: as QEMU does: {name}': case
                        for name, case in LOADED.items()})
def test_loaded(right, tmp_path, change, host):
    """A directory is fit if and only if QEMU loads it."""
    change.__dict__['right'] = right
    # QEMU gets a comma twice, and its words have it once.
    directory = tmp_path / 'a,b'
    change(directory)
    said = refusal(directory)
    found = proofs.proof('x509', '', directory, [host or 'localhost'],
                         (str(QEMU), trial.Limit()))
    assert bool(said) == ('reason' in found) == (host is None), (said, found)
    assert '-object' not in found.get('reason', ''), found


@named('static: check: the QEMU of each host loads its keys')
def test_loader():
    """One that does not has the last word, in the line of the keys."""
    with place() as found:
        two_hosts(found)
        qemu = found.path / 'qemu'
        qemu.write_text('#!/bin/sh\ncase $* in *tls-creds-psk,*) echo "it is '
                        'too old" >&2; exit 1;; esac\n'
                        f'exec {FAKE_QEMU} "$@"\n')
        qemu.chmod(0o755)
        found.file.write_text(re.sub(
            r'\[\[node\]\]\n(?=host)', '[[node]]\n'
            f'keys = "{found.path}/keys"\nqemu = "{qemu}"\n',
            found.file.read_text()))
        the_error(found, f'QEMU does not load {found.path}/keys: ',
                  'it is too old')


@named('static: check: an authority whose certificate was made anew')
def test_made_anew(authority, right, tmp_path):
    """By the same key: it trusts what the old one signed."""
    directory = tmp_path / 'keys'
    shutil.copytree(right, directory)
    text = signed(authority, authority, keys.lasting(700))
    assert text != (right / CA).read_text()
    (directory / CA).write_text(text)
    assert proof_of(directory)['marks'] == proof_of(right)['marks']


@named('static: check: an authority expires before what it has signed')
def test_first_to_expire(authority, tmp_path):
    """Beside those that trust it, and in the file that shows it."""
    directory = authority.issue(tmp_path / 'keys', 'localhost',
                                keys.lasting(90))
    for name, days in ((CA, 40), ('server-cert.pem', 20)):
        text = (directory / name).read_text()
        (directory / name).unlink()
        (directory / name).write_text(text + signed(
            authority, authority, keys.lasting(days)))
        assert days - 0.1 < proof_of(directory)['days'] <= days


@named('static: check: authorities that are trusted, and do not sign')
def test_own(right, tmp_path):
    """A new authority has come in beside the old one, which signs yet."""
    directory = tmp_path / 'keys'
    shutil.copytree(right, directory)
    new = Authority(tmp_path / 'new').certificate.read_text()
    with (directory / CA).open('a') as file:
        file.write(new)
    mark, = proof_of(right)['marks']
    assert proof_of(directory)['own'] == [[mark]] * 2
    assert proof_of(directory)['marks'] == sorted((mark, proofs.mark_of(new)))


def keys_of(trusted, shown):
    return {'marks': list(trusted), 'own': [list(shown)] * 2}


@cases('found, wrong', {
    'static: check: one authority for all':
        ([('1', '1'), ('1', '1'), ('1', '1')], []),
    'static: check: a change of authorities, half done':
        ([('01', '0'), ('01', '0'), ('01', '1')], []),
    'static: check: an authority in common that signs neither':
        ([('01', '0'), ('12', '2')], [1]),
    'static: check: the second host is not let in':
        ([('0', '0'), ('01', '1')], [1]),
    'static: check: the second host lets nobody in':
        ([('01', '0'), ('1', '1')], [1]),
    'static: check: two of three do not let each other in':
        ([('012', '0'), ('01', '1'), ('02', '2')], [2])})
def test_pairs(found, wrong):
    """Each two of the hosts let each other in, not only with the first one."""
    nodes = [SimpleNamespace(keys=f'k{n}') for n in range(len(found))]
    said = []
    check = SimpleNamespace(
        file=SimpleNamespace(credentials='x509', path='f'),
        facts={n: {'host': f'h{n}', 'proofs': {f'k{n}': keys_of(*each)}}
               for n, each in enumerate(found)},
        node=lambda node, key, reason: said.append((nodes.index(node), reason)))
    between.keys(check, SimpleNamespace(
        nodes={n: [node] for n, node in enumerate(nodes)}))
    assert [number for number, _ in said] == wrong, said
    # A company's certificates are not to be thrown away.
    assert all('with your own authority' in remedy for _, (_, remedy) in said)


@named('static: keys: replaces certificates with comments of any language')
def test_comment(tmp_path):
    path = tmp_path / CA
    path.write_text('# Autorit\u00e4t\n', encoding='utf-8')
    for step in ('put', 'hold', 'use'):
        put_files(tmp_path, step, {CA: 'new'})
    assert path.read_text() == 'new'


@named('static: check: certificates whose file cannot be read')
def test_unreadable(monkeypatch, right):
    """The file is named, and not all is said to be the authority."""
    def closed(*_):
        raise PermissionError(13, 'Permission denied', 'the-file')

    def wrong(*_):
        raise ValueError('a date')

    for function, wanted in (
            (closed, 'the-file: Permission denied'),
            (wrong, f'{right} has a certificate that cannot be read (a date)')):
        monkeypatch.setattr(proofs, 'certificates', function)
        found = proofs.proof('x509', '', right, [])
        assert found == {'reason': wanted}


@named('static: keys: links are replaced, and what they lead to is not')
def test_links(tmp_path):
    """Also one that leads nowhere."""
    directory, other = tmp_path / 'keys', tmp_path / 'other'
    directory.mkdir(mode=0o700)
    other.write_text('a key of another place')
    (directory / CA).symlink_to(other)
    (directory / X509[1]).symlink_to('none')
    new = dict.fromkeys(X509, 'new')
    for step in ('look', 'put', 'hold', 'use'):
        put_files(directory, step, new)
    assert {p.name: p.read_text() for p in directory.iterdir()} == new
    assert not any(p.is_symlink() for p in directory.iterdir())
    assert other.read_text() == 'a key of another place'


@named('static: keys: what cannot be replaced is said before any key is')
def test_irreplaceable(monkeypatch):
    """The keys are to blame, and not the host; nothing has changed."""
    with place() as found:
        two_hosts(found)
        path = found.path / 'keys' / PSK
        other = found.path / 'other'
        (other / PSK).mkdir(mode=0o700, parents=True)
        other.chmod(0o700)
        before = path.read_text()
        text = found.file.read_text()
        found.file.write_text(text + f'keys = "{other}"\n')
        said = found.tool('keys', '--renew', status=2).stderr
        assert re.search(r'key node\[1\].keys: on root@hostB: '
                         rf'{other}/{PSK} is a directory, which no key', said)
        assert 'no key was changed' in said and path.read_text() == before

    for name, bad in (('x', '/d/x'), (3, '/d'), (None, '/d')):
        def full(*_, name=name):
            raise OSError(28, 'No space left on device', name)

        monkeypatch.setattr(keys, 'put_step', full)
        with pytest.raises(Problem, match=f'^{bad}: No space left on device$'):
            put_files('/d', 'put', {})


@named('static: keys: nothing is left of keys for which there is no room')
def test_no_room(monkeypatch, tmp_path):
    """Part of a key is no key that the step `drop` would know."""
    def full(fd, *_):
        os.write(fd, b'qem')
        raise OSError(28, 'No space left on device')

    (tmp_path / PSK).write_text('old')
    with monkeypatch.context() as patch:
        patch.setattr(os, 'geteuid', lambda: 0)
        patch.setattr(keys, 'check_way', lambda *_: None)
        patch.setattr(os, 'fchown', full)
        with pytest.raises(Problem, match=f'^{tmp_path}: No space left'):
            put_files(tmp_path, 'put', {PSK: 'new'})
    put_files(tmp_path, 'drop', {PSK: 'new'})
    assert [p.name for p in tmp_path.iterdir()] == [PSK]
    assert (tmp_path / PSK).read_text() == 'old'


@named('static: check: a file of one\'s own authority is missing')
def test_one_missing(right):
    """The other files are not to be replaced; if none is there, keys makes
    all."""
    with place() as found:
        two_hosts(found)
        with_certificates(found)
        for name in 'ab':
            shutil.copytree(right, found.path / name)
        # As a shell reads it.
        found.file = found.file.rename(found.path / 'a b.toml')
        (found.path / 'b' / 'client-key.pem').unlink()
        the_error(found, 'client-key.pem is not there, add the missing files '
                  f'of your own authority (docs/security.rst), or {AGAIN}',
                  f"'{found.file}', which replaces all")
        for path in (found.path / 'b').iterdir():
            path.unlink()
        the_error(found, f"ca-cert.pem is not there, run {CALL} keys "
                  f"'{found.file}'")


CLOSED = '/k cannot be read', 'give the user of the nodes access'
ABSENT = [f'/{n} {facts.MISSING}' for n in 'ab']


@cases('kind, read, wanted', {
    'static: check: keys that are all missing are made':
        ('x509', ABSENT, (ABSENT[0], 'run X keys F')),
    'static: check: a key that is missing beside one that cannot be read':
        ('x509', [ABSENT[0], CLOSED], CLOSED),
    'static: check: a key that cannot be read before one that is missing':
        ('x509', [None, CLOSED, ABSENT[0]], CLOSED),
    'static: check: a key that is missing beside a link that leads nowhere':
        ('x509', [ABSENT[0], f'/b {facts.DANGLING}'],
         (ABSENT[0], 'add the missing files of your own authority')),
    'static: check: a shared key is a link that leads nowhere':
        ('psk', [f'/b {facts.DANGLING}'],
         (f'/b {facts.DANGLING}', 'put your key there, or run X keys --renew')),
    'static: check: keys that can be read': ('x509', [None, None], None)})
def test_unread(monkeypatch, kind, read, wanted):
    """No remedy replaces the keys of one's own authority, unless it says so."""
    for module in (check, between):
        monkeypatch.setattr(module, 'tool', lambda verb, _: f'X {verb} F')
    found = check.HostCheck.unread(
        SimpleNamespace(file=SimpleNamespace(credentials=kind)),
        [(each, '') if isinstance(each, str) else each for each in read])
    assert found == wanted or \
        found[0] == wanted[0] and found[1].startswith(wanted[1]), found


@named('static: check: it and keys agree on links that lead nowhere')
def test_nowhere(tmp_path):
    """A link is not replaced by a first key: what it leads to may be on a disk
    that is not mounted."""
    with place() as found:
        two_hosts(found)
        path = tmp_path / PSK
        path.symlink_to('none')
        text = found.file.read_text()
        found.file.write_text(text + f'keys = "{tmp_path}"\n')
        the_error(found, f'{path} is a link that leads nowhere, put your key '
                  f'there, or {AGAIN}')
        said = found.tool('keys', status=2).stderr
        assert f'{tmp_path} has a key already, write --renew' in said
        assert path.is_symlink()
        # A directory.
        link = tmp_path / 'link'
        link.symlink_to('none')
        found.file.write_text(text + f'keys = "{link}"\n')
        the_error(found, f'{link}/{PSK} is not there, run {CALL} keys ')
        said = found.tool('keys', '--renew', status=2).stderr
        assert f'{link} is no directory, or a link: name the directory' in said
        assert 'no key was changed' not in said


@named('static: keys: hosts that share a directory of certificates')
def test_shared(tmp_path):
    """One of them would have the other's; a shared key may be shared."""
    for name, same in ((X509[1], False), (PSK, True)):
        texts = ['one', 'one' if same else 'other']
        for text in texts:
            put_files(tmp_path, 'put', {name: text})
        if same:
            for step in ('hold', 'use'):
                for text in texts:
                    put_files(tmp_path, step, {name: text})
        else:
            with pytest.raises(Problem, match='two hosts with certificates'):
                put_files(tmp_path, 'hold', {name: texts[0]})
            for text in texts:
                put_files(tmp_path, 'drop', {name: text})
    assert [p.name for p in tmp_path.iterdir()] == [PSK]


@named('static: keys: nodes of one host have one certificate for all')
def test_one_host(monkeypatch):
    monkeypatch.setattr(keys, 'RSA_BITS_LASTING', keys.RSA_BITS)
    with place() as found:
        two_hosts(found)
        found.file.write_text(re.sub(
            r'host = "root@hostB"\naddress = "localhost', 'address = '
            '"127.0.0.2', found.file.read_text()).replace(
                '[cluster]', '[cluster]\ncredentials = "x509"'))
        file = cluster_file.load(found.file)
        files, = verb.make(file, Hosts(file), 30)
        directory = Path(file.nodes[0].keys)
        for name, text in files.items():
            (directory / name).write_text(text)
        found = proofs.proof('x509', '', directory, ['localhost', '127.0.0.2'])
        assert len(found['marks']) == 1 and 29.9 < found['days'] <= 30
        found = proofs.proof('x509', '', directory, ['127.0.0.3'])
        assert found['reason'].endswith('server-cert.pem is for localhost, '
                                        '127.0.0.2, and not for 127.0.0.3')


@cases('names, host, wanted', {
    'static: proofs: a name': ([('DNS', 'hostA')], 'HOSTa', True),
    'static: proofs: another name': ([('DNS', 'hostA')], 'hostB', False),
    'static: proofs: any name of a domain':
        ([('DNS', '*.a.b')], 'x.a.b', True),
    'static: proofs: no name of a domain below':
        ([('DNS', '*.a.b')], 'x.y.a.b', False),
    'static: proofs: a star alone': ([('DNS', '*')], 'x', False),
    'static: proofs: an address':
        ([('IP Address', '0:0:0:0:0:0:0:1')], '::1', True),
    'static: proofs: an address in place of a name':
        ([('IP Address', '192.0.2.1')], 'hostA', False),
    'static: proofs: a common name': ([], 'cn', True),
    'static: proofs: a common name besides an address':
        ([('IP Address', '192.0.2.1')], 'cn', True),
    'static: proofs: a common name besides others':
        ([('DNS', 'hostA')], 'cn', False)})
def test_names(names, host, wanted):
    """As GnuTLS compares them."""
    certificate = {'subject': ((('commonName', 'cn'),),),
                   'subjectAltName': tuple(names)}
    assert proofs.is_for(certificate, host) == wanted


@named('static: check: a shared key that is none, or another')
def test_psk(tmp_path):
    path = tmp_path / PSK
    for text in ('root:00ff\n', 'qemu:none\n', '', 'qemu:\n'):
        path.write_text(text)
        assert proofs.proof('psk', 'n', tmp_path, [])['reason'] == \
            f'{path} has no key of the user "qemu"'
    with place() as found:
        two_hosts(found)
        found.file.write_text(found.file.read_text() + f'keys = "{tmp_path}"\n')
        path.write_text('qemu:00ff\n')
        the_error(found, f'{tmp_path} on ', 'has no key in common with '
                  f'{found.path}/keys on ', AGAIN)

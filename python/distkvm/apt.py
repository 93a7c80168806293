# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's archive, through private lists: the user's own are left alone.

What is fetched comes over plain HTTP, as apt does by default: a mirror or
proxy of the user's needs no certificates, and what apt takes is signed
(Signed-By).  Before that is checked, apt reads it as its user _apt, who may
not enter a checkout in somebody's home; so everything is fetched in a
directory made for that, and moved from there."""

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .common import say

SANDBOX_USER = '_apt'
MIRROR = 'http://deb.debian.org/debian'


def release():
    """Code name of the Debian release that this host runs."""
    with open('/etc/os-release', encoding='utf-8') as text:
        found = re.search(r'^VERSION_CODENAME=(\w+)', text.read(), re.M)
    return found.group(1) if found else 'bookworm'


def sandbox_options(directory):
    """Let apt's user write there; where it cannot be, root does the work."""
    if os.geteuid():
        return []
    try:
        user = pwd.getpwnam(SANDBOX_USER)
        os.chown(directory, user.pw_uid, -1)
        directory.chmod(0o755)
        return []
    except (KeyError, OSError) as error:
        # No such user, or a container whose root may not give files away.
        say(f'apt works as root, not as {SANDBOX_USER}: {error}')
        return ['-o', 'APT::Sandbox::User=root']


@contextlib.contextmanager
def scratch():
    """A directory for downloads, and the options of apt that they need."""
    with tempfile.TemporaryDirectory(prefix='distkvm-apt-') as name:
        directory = Path(name) / 'files'
        directory.mkdir()
        Path(name).chmod(0o711)
        yield directory, sandbox_options(directory)


@contextlib.contextmanager
def archive(suite, kind='deb', arch=None):
    """One suite of Debian's archive, its lists up to date: a directory for
    downloads, and options that make apt-get and apt-cache see nothing else."""
    with scratch() as (directory, sandbox):
        state = directory.parent
        (state / 'lists' / 'partial').mkdir(parents=True)
        sources = state / 'distkvm.sources'
        sources.write_text(
            f'Types: {kind}\nURIs: {MIRROR}\n'
            f'Suites: {suite}\nComponents: main\n'
            'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n')
        options = ['-o', f'Dir::Etc::sourcelist={sources}',
                   '-o', 'Dir::Etc::sourceparts=/dev/null',
                   '-o', f'Dir::State::Lists={state}/lists',
                   '-o', f'Dir::Cache::pkgcache={state}/pkgcache.bin',
                   '-o', f'Dir::Cache::srcpkgcache={state}/srcpkgcache.bin',
                   *sandbox]
        if arch:
            options += ['-o', f'APT::Architecture={arch}',
                        '-o', f'APT::Architectures::={arch}']
        run(['apt-get', *options, '-qq', 'update'])
        yield directory, options


def download(directory, suite, package, arch=None):
    """Fetch the newest version of a package; the path of its .deb."""
    directory.mkdir(parents=True, exist_ok=True)
    with archive(suite, 'deb', arch) as (fetched, options):
        if '*' in package:
            listed = run(['apt-cache', *options, 'pkgnames']).split()
            pattern = re.escape(package).replace(r'\*',
                                                 r'[\d.]+(\+deb\d+)?-?\S*')
            names = [n for n in listed if re.fullmatch(pattern, n)]
            package = sorted(names, key=lambda n: [
                int(i) for i in re.findall(r'\d+', n)])[-1]
        return fetch(directory, package, fetched, options)


def download_stock(directory, package):
    """The same as the user's own apt finds it: with security updates."""
    directory.mkdir(parents=True, exist_ok=True)
    with scratch() as (fetched, options):
        return fetch(directory, package, fetched, options)


def fetch(directory, package, fetched, options):
    for old in directory.glob('*.deb'):
        old.unlink()
    run(['apt-get', *options, '-qq', 'download', package], cwd=fetched)
    deb, = fetched.glob('*.deb')
    return move(deb, directory)


def move(path, directory):
    """A fetched file's new path; it becomes ours, not apt's."""
    return Path(shutil.copyfile(path, directory / path.name))


def run(args, **kwargs):
    return subprocess.run([str(a) for a in args], check=True, text=True,
                          stdout=subprocess.PIPE, **kwargs).stdout

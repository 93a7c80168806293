# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's archive, through private lists: the user's own are left alone."""

import re
import subprocess


def release():
    """Code name of the Debian release that this host runs."""
    with open('/etc/os-release', encoding='utf-8') as text:
        found = re.search(r'^VERSION_CODENAME=(\w+)', text.read(), re.M)
    return found.group(1) if found else 'bookworm'


def private_options(directory, suite, kind='deb', arch=None):
    """Options that make apt-get and apt-cache see that suite only."""
    (directory / 'lists' / 'partial').mkdir(parents=True, exist_ok=True)
    sources = directory / 'distkvm.sources'
    sources.write_text(
        f'Types: {kind}\nURIs: http://deb.debian.org/debian\n'
        f'Suites: {suite}\nComponents: main\n'
        'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n')
    options = ['-o', f'Dir::Etc::sourcelist={sources}',
               '-o', 'Dir::Etc::sourceparts=/dev/null',
               '-o', f'Dir::State::Lists={directory}/lists',
               '-o', f'Dir::Cache::pkgcache={directory}/pkgcache.bin',
               '-o', f'Dir::Cache::srcpkgcache={directory}/srcpkgcache.bin',
               '-o', 'APT::Sandbox::User=root']
    if arch:
        options += ['-o', f'APT::Architecture={arch}',
                    '-o', f'APT::Architectures::={arch}']
    return options


def download(directory, suite, package, arch=None):
    """Fetch the newest version of a package; the path of its .deb."""
    options = private_options(directory, suite, 'deb', arch)
    run(['apt-get', *options, '-qq', 'update'])
    if '*' in package:
        listed = run(['apt-cache', *options, 'pkgnames']).split()
        pattern = re.escape(package).replace(r'\*', r'[\d.]+(\+deb\d+)?-?\S*')
        names = [n for n in listed if re.fullmatch(pattern, n)]
        package = sorted(names, key=lambda n: [int(i) for i in
                                               re.findall(r'\d+', n)])[-1]
    for old in directory.glob('*.deb'):
        old.unlink()
    run(['apt-get', *options, '-qq', 'download', package], cwd=directory)
    return next(directory.glob('*.deb'))


def run(args, **kwargs):
    return subprocess.run([str(a) for a in args], check=True, text=True,
                          stdout=subprocess.PIPE, **kwargs).stdout

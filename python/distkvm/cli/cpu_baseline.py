# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm cpu-baseline: the best CPU that all hosts of a guest can give."""

import json
import re
import shlex
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path

from ..common import CALL, TOOL, Problem, say
from ..cpu_describe import (ARRANGEMENT, FORMAT, MASKED, VERSION, describe,
                            flag_names, lone_node)
from ..operate.remote import SSH

RESULT_FORMAT = 'distkvm-cpu-baseline'
WIDTH = 78
INTEL = 'GenuineIntel'
# As in accel/distkvm/vmi/tsc.c: closer frequencies are as good as equal.
TSC_TOLERANCE_PPM = 250

# Facts that every description states and this reads.
KEYS = ('host', 'vmi', 'processor', 'qemu', 'distkvm', 'vendor', 'phys-bits',
        'tsc-khz', 'tsc-scaling', 'xsave', 'features', 'models')

# Features that hosts may have, and a guest of several nodes is better without.
UNWANTED = {
    'monitor': 'a CPU that waits with MWAIT looks busy to its host',
}
# Features by which a guest protects its programs from each other.
MITIGATIONS = {'amd-ssbd', 'amd-stibp', 'ibpb', 'ibrs', 'md-clear',
               'spec-ctrl', 'ssbd', 'stibp', 'virt-ssbd'}
# Not a matter of what a processor can do: left as the model has it.
NEVER_ADDED = re.compile(r'topoext|sgx|intel-pt|arch-lbr')
# Features whose registers an XSAVE component holds.  Intel, AMD and TCG agree
# on the places of all others.
COMPONENTS = {'3': r'mpx', '4': r'mpx', '5': r'avx512|avx10',
              '6': r'avx512|avx10', '7': r'avx512|avx10', '9': r'pku',
              '17': r'amx-', '18': r'amx-'}


@dataclass
class Host:
    """One host: what it is called, and its description."""
    name: str
    about: dict
    # Described by this machine, so that the result can be tried here.
    here: bool = False

    @property
    def features(self):
        return set(self.about['features'].split())

    def started(self, model):
        """Features that this host's nodes give the model by themselves."""
        return set(self.about['models'][model]['features'].split())


@dataclass
class Baseline:
    """A CPU for all hosts, and how it came about."""
    model: str
    vendor: str
    features: set
    plus: set
    minus: dict     # feature: why
    lacks: dict     # host: what it lacks of what others or the model have
    phys_bits: int
    says_vendor: bool
    warnings: list

    @property
    def cpu(self):
        """For -cpu, on every node."""
        parts = [self.model, *(f'-{f}' for f in sorted(self.minus)),
                 *(f'+{f}' for f in sorted(self.plus))]
        # QEMU refuses a width for CPUs without long mode.
        if 'lm' in self.features:
            parts.append(f'phys-bits={self.phys_bits}')
        if self.says_vendor:
            parts.append(f'vendor={self.vendor}')
        return ','.join(parts)


# -------------------------------------------------------- descriptions

def parse(text, name):
    """A description from elsewhere."""
    remedy = (f'write it anew on that host: {CALL} cpu-baseline '
              '--describe >FILE')
    try:
        about = json.loads(text)
    except ValueError as error:
        raise Problem(f'{name} is not a description of a host ({error}); '
                      f'{remedy}') from None
    if not isinstance(about, dict) or about.get('format') != FORMAT:
        raise Problem(f'{name} is not a description of a host; {remedy}')
    if about.get('version') != VERSION:
        raise Problem(f"{name} has version {about.get('version')} of the "
                      f'format, this is for version {VERSION}; use the same '
                      f'distkvm on all hosts, and {remedy}')
    missing = [key for key in KEYS if key not in about]
    if missing:
        raise Problem(f"{name} does not state {', '.join(missing)}; {remedy}")
    return about


def ask_by_ssh(spec):
    """ssh:[USER@]NAME[:PATH]; the path is ours if none is given."""
    target, _, path = spec.removeprefix('ssh:').partition(':')
    path = path or str(TOOL)
    if not target or target.startswith('-'):
        raise Problem(f"'{spec}': write ssh:[USER@]NAME[:PATH]")
    otherwise = (f'or run there: {CALL} cpu-baseline --describe >FILE, and '
                 'give FILE')
    try:
        result = subprocess.run(
            [*SSH, target, f'{shlex.quote(path)} cpu-baseline --describe'],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            check=False)
    except FileNotFoundError:
        raise Problem(f'{spec}: there is no ssh here; apt-get install '
                      f'openssh-client, {otherwise}') from None
    if result.returncode:
        raise Problem(f"{spec}: '{path} cpu-baseline --describe' failed there"
                      f' with exit status {result.returncode}; see that '
                      f"'ssh -o BatchMode=yes {target} true' works (it asks "
                      f'for no password) and that {path} is there '
                      f'(ssh:{target}:PATH names another), {otherwise}')
    return parse(result.stdout, spec)


def host_of(spec):
    if spec in ('local', 'tcg'):
        return Host(spec, describe(spec), here=True)
    if spec.startswith('ssh:'):
        return Host(spec, ask_by_ssh(spec))
    try:
        return Host(spec, parse(Path(spec).read_text(encoding='utf-8'), spec))
    except (OSError, UnicodeError) as error:
        raise Problem(f"'{spec}' cannot be read ({error}); a host is local, "
                      'tcg, a file, or ssh:[USER@]NAME[:PATH]') from None


def same_versions(hosts):
    """Nodes of different builds refuse each other; models differ too."""
    for what in ('qemu', 'distkvm'):
        found = {h.about[what]: h.name for h in hosts}
        if len(found) > 1:
            listed = ', '.join(f'{v} on {name}' for v, name in found.items())
            raise Problem(f'hosts have different versions of {what}, and '
                          f'their nodes would refuse each other: {listed}; '
                          'build the same on all of them')


# ------------------------------------------------------------- choosing

def kvm_hosts(hosts):
    return [h for h in hosts if h.about['vmi'] == 'kvm']


def layout_conflicts(hosts):
    """Features whose registers the hosts save in different places."""
    conflicts = {}
    for number in sorted({n for h in hosts for n in h.about['xsave']}):
        places = {tuple(h.about['xsave'][number]) for h in hosts
                  if number in h.about['xsave']}
        if len(places) == 1:
            continue
        if number not in COMPONENTS:
            raise Problem(f'component {number} of the XSAVE area lies '
                          'elsewhere on each host: KVM cannot give them one '
                          'CPU; run all nodes with vmi=tcg')
        for host in hosts:
            for name in host.features:
                if re.match(COMPONENTS[number], name):
                    conflicts[name] = ('hosts save its registers in different'
                                       ' places')
    return conflicts


def wanted_vendors(hosts):
    """Vendors whose models may be given; none: any."""
    vendors = {h.about['vendor'] for h in kvm_hosts(hosts)}
    # QEMU gives CPUs that are not Intel's cmp-legacy as soon as there are two
    # of them, and Intel's hosts do not have it.
    return vendors if len(vendors) < 2 else {INTEL}


def candidates(hosts, common):
    models = hosts[0].about['models']
    known = set.intersection(*(set(h.about['models']) for h in hosts))
    vendors = wanted_vendors(hosts) or {m['vendor'] for m in models.values()}
    names = [n for n in known if models[n]['vendor'] in vendors] or \
        [n for n in known if models[n]['vendor'] == INTEL]
    # A 32-bit model fits everywhere, and no 64-bit guest runs on it.
    wide = [n for n in names if 'lm' in agreed(hosts, n)]
    return wide if 'lm' in common else names


def agreed(hosts, model):
    """What a model has wherever it starts: accelerators take some away."""
    return set.intersection(*(h.started(model) for h in hosts))


def choose(hosts, common):
    """The model with most features that all have; else the closest."""
    models = hosts[0].about['models']

    def rank(name):
        whole = agreed(hosts, name) - set(UNWANTED)
        number = int(re.search(r'(?:-v(\d+))?$', name).group(1) or 0)
        return (models[name]['deprecated'], len(whole - common),
                -len(whole & common), -number, name)

    return min(candidates(hosts, common), key=rank)


def why_off(feature, hosts, conflicts):
    if feature in MASKED:
        return 'distkvm masks it'
    for reasons in (UNWANTED, conflicts):
        if feature in reasons:
            return reasons[feature]
    return 'not on ' + ', '.join(h.name for h in hosts
                                 if feature not in h.features)


def warnings_of(hosts, vendor, features):
    warnings = []
    vendors = sorted({h.about['vendor'] for h in kvm_hosts(hosts)})
    if vendors and vendors != [vendor]:
        warnings.append(
            f"processors of {' and '.join(vendors)} will all say that they "
            f'are of {vendor}; guests treat vendors differently, and 32-bit '
            'programs of a 64-bit guest may fail: hosts of one vendor, or '
            'vmi=tcg, are safe')
    khz = [h.about['tsc-khz'] for h in kvm_hosts(hosts)] or [0]
    fixed = [h for h in kvm_hosts(hosts) if not h.about['tsc-scaling']]
    if fixed and max(khz) - min(khz) > max(khz) * TSC_TOLERANCE_PPM / 1e6:
        warnings.append(
            'time stamp counters run at different frequencies, and cannot be '
            f"scaled on {', '.join(h.name for h in fixed)}: a node there must"
            ' come before all KVM nodes whose frequency differs')
    lost = {f for h in kvm_hosts(hosts) for f in h.features & MITIGATIONS
            if f not in features}
    if lost:
        warnings.append(
            f"without {' '.join(sorted(lost))}, which not all hosts have, the "
            'guest cannot keep all of its programs from spying on each other')
    return warnings


def combine(hosts):
    """The baseline of hosts."""
    same_versions(hosts)
    conflicts = layout_conflicts(hosts)
    common = set.intersection(*(h.features for h in hosts)) - \
        set(UNWANTED) - set(conflicts)
    model = choose(hosts, common)
    whole = agreed(hosts, model)
    features = {f for f in common if f in whole or not NEVER_ADDED.match(f)}
    starts = [h.started(model) for h in hosts]
    facts = hosts[0].about['models'][model]
    minus = (set.union(*starts) - features) | \
        (set(facts['masked'].split()) & set(MASKED))
    known = whole | {f for h in hosts for f in h.features
                     if not NEVER_ADDED.match(f)}
    return Baseline(
        model=model, vendor=facts['vendor'], features=features,
        plus=set().union(*(features - start for start in starts)),
        minus={f: why_off(f, hosts, conflicts) for f in sorted(minus)},
        lacks={h.name: sorted(known - h.features - set(UNWANTED))
               for h in hosts},
        phys_bits=min(h.about['phys-bits'] for h in hosts),
        # KVM shows its host's vendor unless told otherwise.
        says_vendor=any(h.about['vendor'] != facts['vendor']
                        for h in kvm_hosts(hosts)),
        warnings=warnings_of(hosts, facts['vendor'], features))


# --------------------------------------------------------------- trying

def differences(baseline, cpu):
    """How a node's CPU differs from what it should be."""
    found = (set(cpu['features']) & flag_names()) - ARRANGEMENT
    for what, names in (('lacks', baseline.features - found),
                        ('also has', found - baseline.features)):
        if names:
            yield f"{what} {' '.join(sorted(names))}"
    if cpu['vendor'] != baseline.vendor:
        yield f"is of {cpu['vendor']}, not {baseline.vendor}"
    if 'lm' in found and cpu['address-bits'] != baseline.phys_bits:
        yield (f"has {cpu['address-bits']} bits of physical addresses, not "
               f'{baseline.phys_bits}')


def tried(hosts, baseline):
    """What a node of each kind that this machine runs says: None if well."""
    outcome, cpus = {}, []
    for vmi in sorted({h.about['vmi'] for h in hosts if h.here}):
        try:
            with lone_node(vmi, f'{baseline.cpu},enforce') as (_, hello):
                cpus.append(hello['cpu'])
            wrong = list(differences(baseline, cpus[-1]))
        except Problem as problem:
            wrong = [str(problem)]
        outcome[vmi] = '; '.join(wrong) or None
    if any(cpu != cpus[0] for cpu in cpus):
        outcome['all'] = 'nodes here would refuse each other'
    return outcome


# -------------------------------------------------------------- showing

def as_json(hosts, baseline, outcome):
    return {
        'format': RESULT_FORMAT, 'version': VERSION,
        'option': f'-cpu {baseline.cpu}', 'cpu': baseline.cpu,
        'model': baseline.model, 'vendor': baseline.vendor,
        'phys-bits': baseline.phys_bits,
        'features': sorted(baseline.features),
        'added': sorted(baseline.plus), 'switched-off': baseline.minus,
        'hosts': [{'name': h.name, 'host': h.about['host'],
                   'vmi': h.about['vmi'], 'processor': h.about['processor'],
                   'vendor': h.about['vendor'],
                   'phys-bits': h.about['phys-bits'],
                   'lacks': baseline.lacks[h.name]} for h in hosts],
        'warnings': baseline.warnings,
        'tried-here': {vmi: {'holds': not wrong, 'why': wrong or ''}
                       for vmi, wrong in outcome.items()}}


def paragraph(head, names):
    print(textwrap.fill(f"{head}: {' '.join(names)}", WIDTH,
                        subsequent_indent='    ', break_on_hyphens=False,
                        break_long_words=False))


def explain(hosts, baseline, outcome):
    print(f'-cpu {baseline.cpu}\n')
    for host in hosts:
        about = host.about
        print(f"{host.name}: {about['vmi']} on {about['host']}, "
              f"{about['vendor']}, {about['phys-bits']} bits of physical "
              f'addresses, {len(host.features)} features')
        if baseline.lacks[host.name]:
            paragraph('  lacks', baseline.lacks[host.name])
    print(f'\n{baseline.model}: {len(baseline.features)} features for all '
          'hosts')
    reasons = {}
    for feature, why in baseline.minus.items():
        reasons.setdefault(why, []).append(feature)
    for why, names in reasons.items():
        paragraph(f'  switched off, {why}', names)
    if baseline.plus:
        paragraph('  added, all hosts have it', sorted(baseline.plus))
    for vmi, wrong in outcome.items():
        if not wrong:
            print(f'tried here: a {vmi} node starts with it')


def main(args):
    if args.describe:
        if args.host:
            raise Problem('--describe is for this machine: give no HOST')
        print(json.dumps(describe(args.describe), indent=1))
        return 0
    hosts = [host_of(spec) for spec in dict.fromkeys(args.host or ['local'])]
    baseline = combine(hosts)
    outcome = tried(hosts, baseline)
    if args.json:
        print(json.dumps(as_json(hosts, baseline, outcome), indent=1))
    else:
        explain(hosts, baseline, outcome)
    for warning in baseline.warnings:
        say(warning)
    for vmi, wrong in outcome.items():
        if wrong:
            say(f'this does not hold here ({vmi}): {wrong}')
    return 1 if any(outcome.values()) else 0


def add_verb(verbs):
    verb = verbs.add_parser(
        'cpu-baseline', help='the best CPU that all hosts can give',
        epilog='A HOST is local (default; KVM if there is one), tcg, a file '
               'that --describe wrote on another host, or '
               'ssh:[USER@]NAME[:PATH], which runs PATH (this tool on '
               'that host) there.')
    verb.add_argument('--describe', nargs='?', const='local',
                      choices=['local', 'tcg'],
                      help='only describe this machine, for use elsewhere')
    verb.add_argument('--json', action='store_true',
                      help='print the result for tools')
    verb.add_argument('host', nargs='*', metavar='HOST')
    verb.set_defaults(function=main)

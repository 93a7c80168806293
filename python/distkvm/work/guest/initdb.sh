# SPDX-License-Identifier: GPL-2.0-or-later
# An empty database at $1, with checksums of its pages.
mkdir $1
chown postgres $1
# Not runuser, which wants the set-up of PAM.  initdb compares all zones with an
# unnamed one.
TZ=UTC exec setpriv --reuid=postgres --regid=postgres --clear-groups -- \
	/usr/lib/postgresql/15/bin/initdb -D $1 -A trust -k -N \
	--no-locale -E UTF8 --no-instructions

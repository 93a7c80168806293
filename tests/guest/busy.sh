# SPDX-License-Identifier: GPL-2.0-or-later
# Work for ever, so that something can happen to a node meanwhile.
echo "guest-busy: working"
while guest-check litmus 2000 >/dev/null; do
	echo "guest-busy: $(cut -d' ' -f1 /proc/uptime)"
done
echo "guest-busy: WRONG"

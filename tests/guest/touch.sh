# SPDX-License-Identifier: GPL-2.0-or-later
# Memory that one CPU writes and another reads, over and over.
mb=$(sed -n 's/.*touch.mb=\([0-9]*\).*/\1/p' /proc/cmdline)
echo "guest-touch: working"
while guest-check read "${mb:-64}" >/dev/null; do
	:
done
echo "guest-touch: WRONG"

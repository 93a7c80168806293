# SPDX-License-Identifier: GPL-2.0-or-later
# Reboot.  The kernel moves to CPU 0 for it, or to CPU N with reboot=sN.
echo "guest-reboot: up"
reboot -f

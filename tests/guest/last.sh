# SPDX-License-Identifier: GPL-2.0-or-later
# The last of many CPUs comes up, and what x86 promises holds on it too.
last=$(sed 's/.*-//' /sys/devices/system/cpu/present)
echo 1 >"/sys/devices/system/cpu/cpu$last/online"
echo "guest-last: cpus online $(cat /sys/devices/system/cpu/online)"
guest-check litmus 500 && echo "guest-last: memory is right"
guest-check code 50 && echo "guest-last: code is right"

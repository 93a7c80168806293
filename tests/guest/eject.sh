# SPDX-License-Identifier: GPL-2.0-or-later
# The guest lets go of its CPUs as if somebody had asked for them.
for cpu in /sys/bus/acpi/devices/LNXCPU:*; do
	echo 1 >$cpu/eject && echo "guest-eject: $cpu"
done
sleep 3
echo "guest-eject: still here, CPUs $(cat /sys/devices/system/cpu/online)"
sleep 1000

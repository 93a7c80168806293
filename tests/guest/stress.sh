# SPDX-License-Identifier: GPL-2.0-or-later
# All CPUs, memory and synchronisation, with results verified.
mount -t tmpfs tmp /tmp
cd /tmp || exit
stress-ng --cpu 0 --cpu-method all --matrix 0 --vm 1 --vm-bytes 64M \
	--futex 1 --atomic 1 --mutex 1 --verify --timeout 120 --metrics-brief &&
	echo "guest-stress: passed"

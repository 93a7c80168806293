# SPDX-License-Identifier: GPL-2.0-or-later
# Each CPU reads a disk that is larger than memory, for ever.
for cpu in $(seq 0 $(($(grep -c ^processor /proc/cpuinfo) - 1))); do
	while taskset "$(printf %x $((1 << cpu)))" cat /dev/vda >/dev/null; do
		:
	done &
done
echo "guest-reads: working"
wait

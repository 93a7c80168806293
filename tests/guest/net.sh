# SPDX-License-Identifier: GPL-2.0-or-later
# A network interface, used from each CPU.  10.0.2.2 is QEMU's own router.
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
for cpu in $(seq 0 $(($(grep -c ^processor /proc/cpuinfo) - 1))); do
	for try in 1 2 3 4 5 6 7 8 9 10; do
		if taskset "$(printf %x $((1 << cpu)))" ping -c 1 -W 2 10.0.2.2 \
			>/dev/null; then
			echo "guest-net: answered on CPU $cpu"
			break
		fi
	done
done
cat /proc/interrupts
echo "guest-net: end"

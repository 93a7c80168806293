# SPDX-License-Identifier: GPL-2.0-or-later
# A key and a tablet, heard by the last CPU: it serves their interrupts and
# reads their events.
cpus=$(grep -c ^processor /proc/cpuinfo)
mask=$(printf %x $((1 << (cpus - 1))))
for irq in $(grep -E 'i8042|xhci' /proc/interrupts | cut -d: -f1); do
	echo "$mask" >"/proc/irq/$irq/smp_affinity"
done
event_of() {
	for dir in /sys/class/input/event*; do
		grep -q "$1" "$dir/device/name" && echo "/dev/input/${dir##*/}"
	done
}
# Type, code and value of events, behind the time of each.
listen() {
	echo "guest-input: $1 is $2"
	taskset "$mask" dd if="$2" bs=24 count="$3" 2>/dev/null |
		od -An -v -t u2 -w24 | cut -c 49- |
		while read -r event; do echo "guest-input: $1 says $event"; done
}
listen keyboard "$(event_of keyboard)" 6
listen tablet "$(event_of Tablet)" 3
grep -E 'i8042|xhci' /proc/interrupts
echo "guest-input: end"

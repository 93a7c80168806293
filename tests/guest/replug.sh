# SPDX-License-Identifier: GPL-2.0-or-later
# One CPU removes PCI functions and finds them again, so that the address map
# changes; the last one reads the disk all the time.  replug.s= seconds.
seconds=$(sed -n 's/.*replug\.s=\([0-9]*\).*/\1/p' /proc/cmdline)
last=$(($(grep -c ^processor /proc/cpuinfo) - 1))
disk=$(readlink -f /sys/block/vda/device/..)
sum=$(sha256sum </dev/vda)

read_all() {
	while [ ! -e /tmp/end ]; do
		if [ "$(dd if=/dev/vda bs=4k iflag=direct 2>/dev/null |
			sha256sum)" != "$sum" ]; then
			echo "guest-replug: WRONG data"
		fi
		echo >>/tmp/reads
	done
}

# Not the disk, what it is behind, or what the machine itself needs.
functions=$(for f in /sys/bus/pci/devices/*; do
	case $(cat $f/class) in
	0x0600* | 0x0601* | 0x0604*) ;;
	*) [ "$(readlink -f $f)" = "$disk" ] || echo $f ;;
	esac
done)
count=$(echo $functions | wc -w)
echo "guest-replug: $count functions, for $seconds s"
read_all &
reader=$!
taskset -p "$(printf %x $((1 << last)))" $reader >/dev/null
taskset -p 1 $$ >/dev/null
end=$(($(cut -d. -f1 /proc/uptime) + seconds))
rounds=0
while [ "$(cut -d. -f1 /proc/uptime)" -lt $end ]; do
	for f in $functions; do
		echo 1 >$f/remove
	done
	echo 1 >/sys/bus/pci/rescan
	rounds=$((rounds + 1))
done
touch /tmp/end
wait
for f in $functions; do
	[ -e $f ] || echo "guest-replug: $f is GONE"
done
echo "guest-replug: $rounds rounds, $(wc -l </tmp/reads) reads"

# SPDX-License-Identifier: GPL-2.0-or-later
# Random reads of 4 KiB past the page cache; MiB/s.
. ./lib.sh
FILE=/var/tmp/reads
case $PHASE in
prepare)
	[ -e $FILE ] || dd if=/dev/urandom of=$FILE bs=1M count=64 conv=fsync ;;
work)
	server fio --name=read --filename=$FILE --rw=randread --bs=4k \
		--size=64m --direct=1 --ioengine=psync --runtime=8 \
		--minimal >out
	awk -F';' 'NF > 50 { printf "rate %.3f\n", $7 / 1024 }' out >>values
	grep -q rate values ;;
esac

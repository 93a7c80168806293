# SPDX-License-Identifier: GPL-2.0-or-later
# Reads past the page cache, in parts of BLOCK, for at most SECONDS; MiB/s.
. ./lib.sh
FILE=/var/tmp/reads
case $PHASE in
prepare)
	[ -e $FILE ] || dd if=/dev/urandom of=$FILE bs=1M count=64 conv=fsync ;;
work)
	server fio --name=read --filename=$FILE --rw="$PATTERN" --bs="$BLOCK" \
		--size=64m --direct=1 --ioengine=psync --runtime="$SECONDS_MAX" \
		--minimal >out
	awk -F';' 'NF > 50 { printf "rate %.3f\nmib %.3f\n", $7 / 1024,
		$6 / 1024 }' out >>values
	grep -q rate values ;;
esac

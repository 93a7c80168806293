# SPDX-License-Identifier: GPL-2.0-or-later
# Blocks with checksums: each CPU writes a file, in random order, that the next CPU
# reads while the page cache has it; then the cache is dropped, and the writer reads
# it from the disk.  Every other pass goes past the page cache, eight blocks at a
# time.
. ./lib.sh
FILES=/var/tmp/verify
# Of each file; a check of seconds would read for minutes.
MIB=8
[ "$TIME" -ge 60 ] || MIB=2
# One after the other, so that a block of an earlier pass is not right in the next
# ones: fio compares seeds of passes in vain when it only verifies.
KINDS='crc32c md5 xxhash sha256 crc64'

# files VERIFY TURN: one run of fio over all files, each on the CPU that is TURN
# after its own.
files() {
	verify=$1 turn=$2
	if [ $((passes % 2)) = 0 ]; then
		set -- --ioengine=psync --bs=4k --fsync_on_close=1
	else
		set -- --ioengine=libaio --direct=1 --iodepth=8 --bs=16k
	fi
	for cpu in $(seq 0 $((CPUS - 1))); do
		set -- "$@" "--name=file$cpu" "--filename=$FILES/$cpu" \
			"--cpus_allowed=$(((cpu + turn) % CPUS))"
	done
	# Nothing but the script drops the page cache.
	fio --output-format=json --output=fio.json --rw=randwrite --size=${MIB}m \
		--randseed=$((passes + 1)) --verify="$kind" --verify_fatal=1 \
		--verify_state_save=0 --invalidate=0 "$verify" "$@"
}

# All that was written was read; fio is silent about files that it does not read.
verified() {
	files --verify_only "$1"
	python3 fio_read.py fio.json $((MIB * CPUS << 10))
	mib=$((mib + MIB * CPUS))
}

case $PHASE in
prepare)
	rm -rf $FILES
	mkdir -p $FILES ;;
work)
	passes=0 mib=0 began=$(seconds)
	while [ $passes -lt 2 ] || [ $(($(seconds) - began)) -lt "$TIME" ]; do
		kind=$(echo "$KINDS" | cut -d' ' -f$((passes % 5 + 1)))
		[ "$PLANT$passes" = old1 ] || files --do_verify=0 0
		[ "$PLANT" != damage ] ||
			printf damage | dd of=$FILES/0 bs=1 seek=1000000 conv=notrunc
		verified 1
		sync
		echo 3 >/proc/sys/vm/drop_caches
		verified 0
		passes=$((passes + 1))
	done
	value passes $passes
	value mib $mib ;;
finish) rm -rf $FILES ;;
esac

# SPDX-License-Identifier: GPL-2.0-or-later
# A clone of a repository with many small files.
. ./lib.sh
DIR=/var/tmp/clone
case $PHASE in
prepare)
	rm -rf $DIR/copy
	[ ! -e $DIR/from ] || exit 0
	mkdir -p $DIR/partial
	cd $DIR/partial
	for d in $(seq 20); do
		mkdir "d$d"
		for f in $(seq 30); do
			echo "file $f of $d" >"d$d/f$f"
		done
	done
	git init -q
	git add .
	git -c user.name=work -c user.email=work@work commit -q -m work
	mv $DIR/partial $DIR/from ;;
work)
	server git clone -q --no-local $DIR/from $DIR/copy
	[ "$(find $DIR/copy -name 'f*' -path '*/d*/*' | wc -l)" -ge 600 ] ;;
finish) rm -rf $DIR/copy ;;
esac

# SPDX-License-Identifier: GPL-2.0-or-later
# A new database, and its tables filled.
. ./lib.sh
case $PHASE in
prepare) server runuser -u postgres -- dropdb --if-exists init ;;
work)
	server runuser -u postgres -- createdb init
	server runuser -u postgres -- $PG/pgbench -q -i -s 1 init ;;
esac

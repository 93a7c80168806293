# SPDX-License-Identifier: GPL-2.0-or-later
# Transactions of PostgreSQL; balances must agree at the end.
. ./lib.sh
as_postgres() { runuser -u postgres -- "$@"; }
ask() { as_postgres psql -qAt work -c "$1"; }
case $PHASE in
prepare)
	systemctl stop postgresql@15-main
	server runuser -u postgres -- $PG/pg_ctl -w -s -l /tmp/postgres.log \
		-D /var/lib/postgresql/15/main start -o \
		'-c config_file=/etc/postgresql/15/main/postgresql.conf'
	if ! ask 'select 1 from pgbench_branches' 2>/dev/null; then
		as_postgres createdb work
		as_postgres $PG/pgbench -q -i -s 1 work
	fi ;;
work)
	client runuser -u postgres -- $PG/pgbench -c 4 -j 2 -T 10 work >out
	value rate "$(awk '/^tps/ { print $3 }' out)"
	accounts=$(ask 'select sum(abalance) from pgbench_accounts')
	tellers=$(ask 'select sum(tbalance) from pgbench_tellers')
	branches=$(ask 'select sum(bbalance) from pgbench_branches')
	[ "$accounts" ] && [ "$accounts" = "$tellers" ] &&
		[ "$accounts" = "$branches" ] ;;
finish)
	as_postgres $PG/pg_ctl -w -s -m fast -D /var/lib/postgresql/15/main stop
	systemctl start postgresql@15-main ;;
esac

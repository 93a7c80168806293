# SPDX-License-Identifier: GPL-2.0-or-later
# Transactions of PostgreSQL, with checksums of its pages.  After each minute of
# them pg_amcheck holds all tables against their indexes, and all money and all
# transactions must be there; once more after the server died and has recovered.
. ./lib.sh
DATA=/var/tmp/verify-pg MADE=/var/lib/verify-pg
SLICE=60
# Tables and indexes of the catalogue are hundreds, and take minutes: only a long
# check holds them, too.
TABLES=
[ "$TIME" -ge 60 ] || TABLES=--schema=public
AS='setpriv --reuid=postgres --regid=postgres --clear-groups --'
as_postgres() { $AS "$@"; }
ask() { as_postgres psql -h /tmp -qAt verify -c "$1"; }
control() {
	server $AS $PG/pg_ctl -w -s -t 300 -D $DATA \
		-l $DATA/log "$@"
}

# Money that each kind of table says was moved, and transactions in the history.
sums() {
	ask "select (select sum(abalance) from pgbench_accounts),
		(select sum(tbalance) from pgbench_tellers),
		(select sum(bbalance) from pgbench_branches),
		(select sum(delta) from pgbench_history),
		(select count(*) from pgbench_history)"
}

balanced() {
	found=$(sums)
	echo "$found" | awk -F'|' -v wanted=$transactions '
		{ exit !($1 != "" && $1 == $2 && $2 == $3 && $3 == $4 && $5 == wanted) }' ||
		{ echo "balances and transactions: $found, of $transactions"; exit 1; }
	as_postgres $PG/pg_amcheck -h /tmp -v --install-missing --heapallindexed \
		--rootdescend $TABLES -d verify >amcheck 2>&1 || { cat amcheck; exit 1; }
	relations=$((relations + $(grep -c 'checking .* \(table\|index\) ' amcheck)))
	checks=$((checks + 1))
}

case $PHASE in
prepare)
	rm -rf $DATA
	# A disk may come with one, for the first check.
	mv $MADE $DATA 2>/dev/null || server sh initdb.sh $DATA
	cat >>$DATA/postgresql.conf <<-END
		listen_addresses = ''
		unix_socket_directories = '/tmp'
		port = 5432
		shared_buffers = 32MB
		jit = off
	END
	systemctl stop postgresql || :
	control start
	as_postgres $PG/createdb -h /tmp verify
	# The server makes the rows, so that no other program waits for them.
	as_postgres $PG/pgbench -h /tmp -q -i -I dtGp -s 1 verify ;;
work)
	transactions=0 relations=0 checks=0 began=$(seconds)
	while left=$((TIME - $(seconds) + began)); [ $left -gt 0 ] ||
		[ $checks = 0 ]; do
		[ $left -lt $SLICE ] || left=$SLICE
		[ $left -gt 0 ] || left=1
		# Without -n the history would be emptied.
		client $AS $PG/pgbench -h /tmp -n -c 4 -j 2 \
			-T $left verify >out
		ended=$(awk '/actually processed/ { print $NF }' out)
		transactions=$((transactions + ${ended%/*}))
		[ "$PLANT" != damage ] || ask "update pgbench_accounts
			set abalance = abalance + 1 where aid = 1"
		balanced
	done
	control stop -m immediate
	control start
	balanced
	value transactions $transactions
	value checks $checks
	value relations $relations ;;
finish)
	control stop -m immediate
	rm -rf $DATA ;;
esac

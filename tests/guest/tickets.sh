# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# A cluster whose tickets, and the keys behind them, are good for some seconds: connections that end all the time must be
# authenticated with new ones. Needs a cluster that was started so.
. "$here/fault.sh"

short_tickets() {
	TTL=$(host 'ceph-conf --name mon.a auth_service_ticket_ttl' || echo 3600)
	[ "$TTL" -le 30 ] || skip 'the tickets of this cluster last long'
}
t_v2() { tickets ti1; }
t_v1() { PROTO=v1 tickets ti2; }
tickets() { # IMAGE
	short_tickets
	local before
	at_end socket_failures_end
	before=$(failures_injected)
	# The keys of three periods are known to the OSDs: a ticket that was never renewed is of no use after four.
	under_fault "$(long $((TTL * 4 + 5)))" "$1" tickets_run_out
	undo
	[ "$(failures_injected)" -gt "$before" ] || fail 'no connection had to be made again'
}
tickets_run_out() {
	host 'ceph config set osd ms_inject_socket_failures 150'
	while loaded; do sleep 1; done
	socket_failures_end
	load_stop
	# Nothing is sent for as long: then everything has run out, and all connections are made anew.
	sleep $((TTL * 4))
	local i
	for ((i = 0; i < osds; i++)); do restart osd.$i TERM; done
}

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Memory that nobody refers to any more. Needs a guest booted with kmemleak=on.

K=/sys/kernel/debug/kmemleak

scan() {
	# An object counts when it is found unreferenced and has not changed for some seconds, so look twice.
	echo scan >$K
	sleep 6
	echo scan >$K
}

t_baseline() {
	[ -w $K ] || skip 'the guest was not booted with kmemleak=on'
	scan
	echo clear >$K
}

t_scan() {
	[ -w $K ] || skip 'the guest was not booted with kmemleak=on'
	scan
	cat $K >/run/leaks
	cp /run/leaks $LAB/leaks
	[ ! -s /run/leaks ] || fail "$(grep -c '^unreferenced' /run/leaks) objects leaked: $(grep -m1 -A30 backtrace /run/leaks | tr -s ' \n' ' ' | cut -c1-160)"
}
t_scan_unloaded() { t_scan; }

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The client, tested from inside by modules of their own. Before the driver is loaded.

t_abstractions() {
	[ "$DRIVER" = rust ] || skip 'it tests the Rust modules'
	[ -e $LAB/modules/ceph_selftest.ko ] || fail 'ceph_selftest.ko was not built'
	bash /build/src/tests/guest/selftest/run $LAB/modules >/run/selftest 2>&1 || {
		cat /run/selftest >&2
		fail "selftest: $(grep -am 1 'not ok' /run/selftest || tail -n 1 /run/selftest)"
	}
}

# The OSD client, used as the block driver uses it, and a group of requests cancelled while no OSD answers.
t_osd_client() {
	[ "$DRIVER" = rust ] || skip 'it tests the Rust modules'
	[ -e $LAB/modules/ceph_osdtest.ko ] || fail 'ceph_osdtest.ko was not built'
	at_end osdtest_off
	insmod $LAB/modules/net_ceph.ko
	insmod $LAB/modules/ceph_osdtest.ko
	mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
	osdtest open "$(monspec v2)" "$(opts v2)"
	osdtest api
	osdtest begin
	freeze osd
	osdtest cancel
	undo
	osdtest end
	rmmod ceph_osdtest
	rmmod net_ceph
}
osdtest() {
	echo "$*" >/sys/kernel/debug/ceph_osdtest/run || fail "osdtest $1: $(dmesg | grep -a ceph_osdtest | tail -n 1 || true)"
}
# The driver cannot be loaded beside them.
osdtest_off() {
	local m
	for m in ceph_osdtest net_ceph; do
		if [ -e /sys/module/$m ]; then rmmod $m; fi
	done
}

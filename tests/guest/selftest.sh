# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The client, tested from inside by modules of their own. Before the driver is loaded.

t_abstractions() {
	[ "$DRIVER" = rust ] || skip 'it tests the Rust modules'
	[ -e $LAB/modules/ceph_selftest.ko ] || fail 'ceph_selftest.ko was not built'
	bash /build/src/tests/guest/selftest/run $LAB/modules >/run/selftest 2>&1 || {
		cat /run/selftest >&2
		fail "selftest: $(dmesg | grep -a ceph_selftest | tail -n 1)"
	}
}

# The OSD client, used as the block driver uses it, and a group of requests cancelled while no OSD answers.
t_osd_client() {
	[ "$DRIVER" = rust ] || skip 'it tests the Rust modules'
	[ -e $LAB/modules/ceph_osdtest.ko ] || fail 'ceph_osdtest.ko was not built'
	local rc=0
	trap 'rmmod ceph_osdtest net_ceph 2>/dev/null || true' EXIT
	insmod $LAB/modules/net_ceph.ko
	insmod $LAB/modules/ceph_osdtest.ko
	mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
	osdtest open "$(monspec v2)" "$(opts v2)"
	osdtest api
	osdtest begin
	host 'kill -STOP $(cat /build/run/ceph/run/osd.*.pid)'
	osdtest_step cancel || rc=$?
	host 'kill -CONT $(cat /build/run/ceph/run/osd.*.pid)'
	[ $rc = 0 ] || osdtest_failed cancel
	osdtest end
	rmmod ceph_osdtest
	rmmod net_ceph
}
osdtest_step() { echo "$*" >/sys/kernel/debug/ceph_osdtest/run; }
osdtest_failed() { fail "osdtest $1: $(dmesg | grep -a ceph_osdtest | tail -n 1)"; }
osdtest() { osdtest_step "$@" || osdtest_failed "$1"; }

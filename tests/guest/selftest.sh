# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The abstractions of net_ceph, tested from inside by a module of its own. Before the driver is loaded.

t_abstractions() {
	[ "$DRIVER" = rust ] || skip 'it tests the Rust modules'
	[ -e $LAB/modules/ceph_selftest.ko ] || fail 'ceph_selftest.ko was not built'
	bash /build/src/tests/guest/selftest/run $LAB/modules >/run/selftest 2>&1 || {
		cat /run/selftest >&2
		fail "selftest: $(dmesg | grep -a ceph_selftest | tail -n 1)"
	}
}

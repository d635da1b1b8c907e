# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Ceph's own fsx, in its krbd mode: random writes, truncations, holes, clones and flattens through a mapping, each read compared
# with a copy in memory; and in the end every image of the chain of clones.
# Beside each mapping it keeps the image open with librbd, which resizes, clones and flattens: the lock goes to and fro.

FSX=$(command -v ceph_test_librbd_fsx || true)
if [ -z "$FSX" ] && [ -x $LAB/ceph_test_librbd_fsx ]; then FSX=$LAB/ceph_test_librbd_fsx; fi
[ -n "$FSX" ] || skip 'ceph_test_librbd_fsx (Debian package ceph-test) is not in the tree'

# fsx_ NAME FEATURES OPERATIONS [OPTIONS]   with SOAK OPERATIONS become at least 5000
fsx_() {
	local name=fsx_$1 features=$2 ops=$3 rc=0 clones
	if [ -n "${SOAK:-}" ]; then ops=${FSX_OPS:-6000}; fi
	shift 3
	# It unmaps as soon as it has closed the device. For each event (a resize is one, too) udev has the device open while it goes
	# through its rules: on a slow machine for longer than libkrbd waits, whichever driver it is. So there are none.
	mkdir -p /run/fsx
	quiet_udev
	local rules
	for rules in /usr/lib/udev/rules.d/*.rules; do : >"/run/udev/rules.d/${rules##*/}"; done
	udevadm control --reload || sleep 4
	CEPH_ARGS="--rbd-default-features=$features" $FSX -W -R -p 500 -P /run/fsx -r 512 -w 512 -t 512 -h 512 -l 4194304 -o 131072 -S "${SEED:-1}" -N "$ops" -K "$@" rbd "$name" \
		>/run/fsx.out 2>&1 || rc=$?
	if [ $rc != 0 ]; then
		# What it did is in its list of operations, what went wrong is before that.
		grep -vE '^[0-9]+\([0-9 ]+mod 256\)' /run/fsx.out | tail -n 40
		fail "fsx: status $rc: $(grep -vE '^[0-9]+\(|^Correct content|^\(maybe|truncating to largest|^skipping|disabled$|^LOG DUMP' /run/fsx.out | tail -n 4 | tr '\n' ' ')"
	fi
	clones=$(grep -c '^[0-9]* clone' /run/fsx.out || true)
	echo "$ops operations, of them $clones clones and $(grep -cE '^([0-9]* flatten|flattening)' /run/fsx.out || true) flattens: $(tail -n 1 /run/fsx.out)"
	[ "$clones" -gt 0 ] || [ -z "${SOAK:-}" ] || fail 'nothing was cloned'
	rm -rf /run/fsx
}
# With this seed the first clones are operations 56 and 83.
t_layering() { SEED=4 fsx_ a 1 150 -U; }
t_striped() { SEED=4 fsx_ b 1 150; }
t_default() { SEED=3 fsx_ c 61 150 -U; }
t_direct() { SEED=4 fsx_ d 61 150 -Z; }

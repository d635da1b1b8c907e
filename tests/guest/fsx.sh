# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Ceph's own fsx, in its krbd mode: random writes, truncations, holes, clones and flattens through a mapping, each read compared
# with a copy in memory; and in the end every image of the chain of clones.
# Beside each mapping it keeps the image open with librbd, which resizes, clones and flattens: the lock goes to and fro.

FSX=$(command -v ceph_test_librbd_fsx || true)
if [ -z "$FSX" ] && [ -x $LAB/ceph_test_librbd_fsx ]; then FSX=$LAB/ceph_test_librbd_fsx; fi
[ -n "$FSX" ] || skip 'ceph_test_librbd_fsx (Debian package ceph-test) is not in the tree'

# fsx_ NAME FEATURES OPERATIONS [OPTIONS]
fsx_() {
	local name=fsx_$1 features=$2 ops
	ops=$(more "$3")
	shift 3
	mkdir -p /run/fsx
	CEPH_ARGS="--rbd-default-features=$features" $FSX -W -R -p 100 -P /run/fsx -r 512 -w 512 -t 512 -h 512 -l 4194304 -o 131072 -S "${SEED:-1}" -N "$ops" -K "$@" rbd "$name" \
		>/run/fsx.out 2>&1 || {
		tail -n 40 /run/fsx.out
		fail "fsx: $(grep -v '^[0-9]*: ' /run/fsx.out | grep -iE 'error|fail|mismatch|expected|READ BAD|:' | head -n 3 | tr '\n' ' ')"
	}
	tail -n 1 /run/fsx.out
	rm -rf /run/fsx
}
t_layering() { fsx_ a 1 150 -U; }
t_default() { SEED=3 fsx_ c 61 150 -U; }
t_direct() { SEED=4 fsx_ d 61 150 -Z; }

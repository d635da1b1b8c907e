# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Read-only, by option, by snapshot, and by what blockdev says later.

# refuses DEV   every kind of change is refused
refuses() {
	if dd if=/dev/zero of="$1" bs=4k count=1 oflag=direct 2>/run/err; then fail "a write to $1 succeeded"; fi
	if blkdiscard -o 0 -l 65536 "$1" 2>/run/err; then fail "discard on $1 succeeded"; fi
	if blkdiscard -z -o 0 -l 65536 "$1" 2>/run/err; then fail "zero-out on $1 succeeded"; fi
}

# blockdev --setrw is refused, or (as of Linux 7.3, with the C driver) has no effect.
stays() {
	if ! blockdev --setrw "$DEV" 2>/run/err; then
		errno_of "$(</run/err)"
		eq "$ERRNO" EROFS 'errno of blockdev --setrw'
	fi
	eq "$(blockdev --getro "$DEV")" 1 'read-only flag after blockdev --setrw'
	refuses "$DEV"
}

# `ro`: reads work, no lock is taken, no watch is kept, and it cannot be made writable.
t_option() {
	image ro1 1M --object-size 256K
	model ro1 1048576
	map ro1
	put 0 65536
	unmap
	map ro1 ro
	eq "$(blockdev --getro "$DEV")" 1 'read-only flag'
	device_is ro1
	refuses "$DEV"
	stays
	eq "$(owner ro1)" '' 'the lock of a read-only mapping'
	eq "$(watchers ro1)" 0 'watchers of a read-only mapping'
	# Other clients are not held up.
	host 'timeout 150 rbd bench --io-type write --io-size 4K --io-total 16K ro1' >/run/bench || fail 'rbd bench beside a read-only mapping'
	unmap
}

t_snapshot() {
	img ro2 1 --object-size 256K
	model ro2 1048576
	map ro2
	put 0 65536
	unmap
	sync_host 'rbd snap create --no-progress ro2@s'
	map ro2 '' s
	eq "$(blockdev --getro "$DEV")" 1 'read-only flag'
	refuses "$DEV"
	stays
	# Said of what it is already.
	blockdev --setro "$DEV" || fail 'blockdev --setro on a snapshot'
	device_is ro2
	unmap
	# Asked for by both.
	map ro2 ro s
	device_is ro2
	unmap
	# `rw` cannot make a snapshot writable.
	map ro2 rw s
	eq "$(blockdev --getro "$DEV")" 1 'read-only flag with rw'
	unmap
}

# A writable mapping is made read-only and writable again.
t_flips() {
	img ro3 1 --object-size 256K
	model ro3 1048576
	map ro3
	put 0 8192
	blockdev --setro "$DEV" || fail 'blockdev --setro'
	eq "$(blockdev --getro "$DEV")" 1 'read-only flag'
	refuses "$DEV"
	both_are ro3 ro3
	blockdev --setrw "$DEV" || fail 'blockdev --setrw'
	eq "$(blockdev --getro "$DEV")" 0 'read-only flag'
	put 4096 8192
	both_are ro3 ro3
	unmap
}

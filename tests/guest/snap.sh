# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Snapshots and resizing, made by another client while the image is mapped.

t_snapshot() {
	img sn1 8 --object-size 1M
	pattern psn 8
	map sn1
	dd if="$PATTERN" of="$DEV" bs=1M oflag=direct 2>/run/err
	local head_id=$ID head_dev=$DEV
	host rbd snap create --no-progress sn1@s || fail 'rbd snap create'
	# Written after the snapshot: it must not show it.
	dd if=/dev/zero of="$head_dev" bs=1M count=4 oflag=direct 2>/run/err || fail 'write after the snapshot'
	same_on_host sn1@s "$PATTERN_HOST"
	map sn1 '' s
	eq "$(attr current_snap)" s current_snap
	eq "$(blockdev --getro "$DEV")" 1 'read-only flag of a snapshot'
	cmp -n $((8 << 20)) "$DEV" "$PATTERN" || fail 'the snapshot differs from what it was taken of'
	cmp -n $((4 << 20)) "$head_dev" /dev/zero || fail 'the head does not show what was written later'
	if dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct 2>/run/err; then fail 'a snapshot was written to'; fi
	unmap
	unmap "$head_id"
	if map sn1 '' nosuch 2>/run/err; then fail 'a snapshot that does not exist was mapped'; fi
	eq "$ERRNO" ENOENT 'errno for a missing snapshot'
}

t_resize() {
	img rs1 8
	map rs1
	host rbd resize --no-progress --size 20 rs1 || fail 'rbd resize'
	wait_for 10 eval '[ "$(attr size)" = $((20 << 20)) ]' || fail "size is $(attr size) 10 s after growing"
	eq "$(blockdev --getsize64 "$DEV")" $((20 << 20)) 'device size after growing'
	dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct,seek_bytes seek=$(((20 << 20) - 4096)) 2>/run/err || fail 'write at the new end'
	host rbd resize --no-progress --allow-shrink --size 4 rs1 || fail 'rbd resize --allow-shrink'
	wait_for 10 eval '[ "$(attr size)" = $((4 << 20)) ]' || fail "size is $(attr size) 10 s after shrinking"
	unmap
}

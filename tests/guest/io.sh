# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Data: what is written is what another client reads, and the other way round.

roundtrip() {
	img io1 9 --object-size 1M
	pattern p1 9
	map io1
	dd if="$PATTERN" of="$DEV" bs=3M oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	same_on_host io1 "$PATTERN_HOST"
	# Read it with another size, unaligned to objects.
	dd if="$DEV" bs=1536k iflag=direct 2>/run/err | cmp - "$PATTERN" || fail 'read back differs'
	unmap
}
t_roundtrip_v2() { roundtrip; }
t_roundtrip_v1() { PROTO=v1 roundtrip; }

# What another client wrote, and holes, are read right.
t_foreign() {
	img io2 16
	pattern p2 5
	host "rbd bench --help >/dev/null; rbd rm io2 --no-progress; rbd import --no-progress --image-feature layering --object-size 1M $PATTERN_HOST io2" || fail 'rbd import'
	host rbd resize --no-progress --size 9 io2
	map io2
	head -c 5M "$DEV" | cmp - "$PATTERN" || fail 'read differs from what rbd import wrote'
	cmp -n $((4 << 20)) -i $((5 << 20)):0 "$DEV" /dev/zero || fail 'a hole does not read as zeroes'
	unmap
}

# Small pieces around object boundaries and at the last bytes of the image.
t_edges() {
	img io3 8 --object-size 1M
	map io3
	local at size=$((8 << 20)) n=0
	head -c 8192 /dev/urandom >/run/piece
	for at in $((1048576 - 512)) $((1048576 - 4096)) $((3 * 1048576 - 1536)) $((size - 8192)); do
		dd if=/run/piece of="$DEV" bs=8192 count=1 oflag=direct,seek_bytes seek=$at 2>/run/err || fail "write at $at: $(cat /run/err)"
		dd if="$DEV" bs=8192 count=1 iflag=direct,skip_bytes skip=$at 2>/run/err | cmp - /run/piece || fail "read at $at differs"
		host "rbd export --no-progress io3 - | tail -c +$((at + 1)) | head -c 8192 | cmp - /build/run/guest-$GUEST_ID/piece" 2>/dev/null || {
			cp /run/piece $LAB/piece
			host "rbd export --no-progress io3 - | tail -c +$((at + 1)) | head -c 8192 | cmp - /build/run/guest-$GUEST_ID/piece" || fail "rbd export at $at differs"
		}
		n=$((n + 1))
	done
	if dd if=/run/piece of="$DEV" bs=8192 count=1 oflag=direct,seek_bytes seek=$((size - 4096)) 2>/run/err; then
		fail 'a write across the end of the image succeeded whole'
	fi
	unmap
}

verify() {
	img io4 32 --object-size 1M
	map io4
	fio_ --name=v --rw=randwrite --bsrange=512-256k --bs_unaligned=0 --blockalign=512 --size=32M --io_size="$(more 6)M" --iodepth=16 \
		--verify=crc32c --do_verify=1 --verify_fatal=1
	unmap
}
t_verify_v2() { verify; }
t_verify_v1() { PROTO=v1 verify; }

t_verify_jobs() {
	img io5 32
	map io5 queue_depth=32
	fio_ --name=j --rw=randrw --rwmixread=40 --bs=4k --size=8M --offset_increment=8M --numjobs=4 --io_size="$(more 1)M" --iodepth=16 \
		--verify=crc32c --do_verify=1 --verify_fatal=1 --group_reporting
	unmap
}

t_large() {
	img io6 64
	map io6
	fio_ --name=l --rw=write --bs=4M --size=32M --iodepth=4 --verify=crc32c --do_verify=1 --verify_fatal=1
	unmap
}

t_discard() {
	img io7 8 --object-size 1M
	pattern p7 8
	map io7
	dd if="$PATTERN" of="$DEV" bs=1M oflag=direct 2>/run/err
	# One whole object, one object's tail, and parts smaller than alloc_size, which may stay.
	blkdiscard -o $((1 << 20)) -l $((1 << 20)) "$DEV" || fail 'discard of an object'
	blkdiscard -o $((3 * 1048576 - 131072)) -l 131072 "$DEV" || fail 'discard of a tail'
	cmp -n $((1 << 20)) -i $((1 << 20)):0 "$DEV" /dev/zero || fail 'a discarded object does not read as zeroes'
	cmp -n 131072 -i $((3 * 1048576 - 131072)):0 "$DEV" /dev/zero || fail 'a discarded tail does not read as zeroes'
	cmp -n $((1 << 20)) "$DEV" "$PATTERN" || fail 'discard hit the object before'
	cmp -n $((1 << 20)) -i $((3 << 20)) "$DEV" "$PATTERN" || fail 'discard hit the object after'
	eq "$(host "rados -p rbd ls | grep -c rbd_data.$(attr image_id) || true")" 7 'objects in the pool'
	unmap
}

t_write_zeroes() {
	img io8 4 --object-size 1M
	pattern p8 4
	map io8
	dd if="$PATTERN" of="$DEV" bs=1M oflag=direct 2>/run/err
	blkdiscard -z -o 4096 -l $((1048576 + 8192)) "$DEV" || fail 'write zeroes'
	cmp -n $((1048576 + 8192)) -i 4096:0 "$DEV" /dev/zero || fail 'zeroed range does not read as zeroes'
	cmp -n 4096 "$DEV" "$PATTERN" || fail 'bytes before the range changed'
	cmp -n 4096 -i $((1048576 + 12288)) "$DEV" "$PATTERN" || fail 'bytes after the range changed'
	unmap
}

t_limits() {
	img io9 32
	map io9
	local q=/sys/block/rbd$ID/queue
	eq "$(<"$q/minimum_io_size")" 65536 'minimum_io_size (alloc_size)'
	eq "$(<"$q/optimal_io_size")" 4194304 'optimal_io_size (object size)'
	eq "$(<"$q/discard_granularity")" 65536 discard_granularity
	eq "$(<"$q/stable_writes")" 1 'stable_writes (CRCs are on)'
	eq "$(<"$q/rotational")" 0 rotational
	eq "$(<"$q/nr_requests")" 128 nr_requests
	[ "$(<"$q/max_hw_sectors_kb")" -ge 4096 ] || fail "max_hw_sectors_kb is $(<"$q/max_hw_sectors_kb")"
	[ "$(<"$q/discard_max_bytes")" -gt 0 ] || fail 'no discard'
	unmap
	# Where CRCs are a choice: msgr2 has them always, so there we keep pages stable all the same.
	local PROTO=v1
	map io9 notrim,nocrc
	q=/sys/block/rbd$ID/queue
	eq "$(<"$q/discard_max_bytes")" 0 'discard_max_bytes with notrim'
	eq "$(<"$q/stable_writes")" 0 'stable_writes with nocrc'
	unmap
}

t_flush() {
	img io10 8
	pattern p10 2
	map io10
	dd if="$PATTERN" of="$DEV" bs=256k conv=fsync 2>/run/err || fail 'buffered write and fsync'
	same_on_host io10 "$PATTERN_HOST"
	dd if="$PATTERN" of="$DEV" bs=256k oflag=direct,dsync 2>/run/err || fail 'O_DSYNC write'
	unmap
}

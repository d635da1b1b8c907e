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
	soon eval '[ "$(attr size)" = $((20 << 20)) ]' || fail "size is $(attr size) after growing"
	eq "$(blockdev --getsize64 "$DEV")" $((20 << 20)) 'device size after growing'
	dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct,seek_bytes seek=$(((20 << 20) - 4096)) 2>/run/err || fail 'write at the new end'
	host rbd resize --no-progress --allow-shrink --size 4 rs1 || fail 'rbd resize --allow-shrink'
	soon eval '[ "$(attr size)" = $((4 << 20)) ]' || fail "size is $(attr size) after shrinking"
	unmap
}

# The OSDs take several watches from one client at the same moment, as they did not hear of them in time. Each is begun anew.
t_watches_lost() {
	local i devs=() before
	watch_timeout() { host "ceph config set osd osd_client_watch_timeout $1" || fail 'ceph config set'; }
	usual_timeout() { host 'ceph config rm osd osd_client_watch_timeout' >/run/null 2>&1; }
	# The numbers of the watches, of which a new one has a new one.
	watches() { sed -n '/^LINGER/,/^BACKOFFS/p' /sys/kernel/debug/ceph/*/osdc | awk '/^[0-9]/ { print $1 }' | sort; }
	begun_anew() {
		local now
		now=$(watches)
		[ "$(wc -l <<<"$now")" = 6 ] && [ -z "$(comm -12 <(printf '%s\n' "$now") <(printf '%s\n' "$before"))" ]
	}
	quiet_udev
	at_end usual_timeout
	watch_timeout 10
	for i in 1 2 3 4 5 6; do
		img sn2$i 4
		# They are not heard of at all.
		map sn2$i osdkeepalive=600
		devs+=("$ID")
	done
	# Time goes by for all of them while the OSDs stand still. The next ones last.
	freeze osd
	before=$(watches)
	eq "$(wc -l <<<"$before")" 6 watches
	watch_timeout 3600
	sleep 12
	undo
	soon begun_anew || fail "not all were begun anew, there were ${before//$'\n'/ }: $(cat /sys/kernel/debug/ceph/*/osdc)"
	undo
	for i in 1 2 3 4 5 6; do
		host rbd resize --no-progress --size 6 sn2$i || fail 'rbd resize'
	done
	for i in "${devs[@]}"; do
		soon eval '[ "$(attr size '"$i"')" = $((6 << 20)) ]' || fail "rbd$i did not hear of its new size: $(cat /sys/kernel/debug/ceph/*/osdc)"
		unmap "$i" || fail "unmap: $ERRNO"
	done
}

# Snapshots that come, go and change while the image is written: what is in each is what was there when it was taken.
t_others() {
	img sn3 2 --object-size 256K
	model sn3 2097152
	map sn3
	put 0 262144
	sync_host 'rbd snap create --no-progress sn3@a'
	model_copy sn3 sn3a
	put 4096 4096
	put 524288 65536
	sync_host 'rbd snap create --no-progress sn3@b; rbd snap rename sn3@b sn3@b2; rbd snap protect sn3@a'
	model_copy sn3 sn3b
	put 8192 512
	put 524288 4096
	put 1048576 4096
	sync_host 'rbd snap create --no-progress sn3@c'
	model_copy sn3 sn3c
	zero 0 262144
	put $((1048576 + 512)) 512
	both_are sn3 sn3
	export_is sn3@a sn3a sn3@b2 sn3b sn3@c sn3c
	sync_host 'rbd snap unprotect sn3@a; rbd snap rm --no-progress sn3@b2'
	put 16384 4096
	put 786432 4096
	both_are sn3 sn3
	export_is sn3@a sn3a sn3@c sn3c
	unmap
}

# A snapshot taken in the middle of much I/O: the blocks that were written before are in it, those after are not.
t_under_load() {
	img sn4 4 --object-size 256K
	model sn4 4194304
	map sn4
	put 0 65536
	work_begin --offset=2M --size=2M --iodepth=8 --rate_iops=80
	local n
	for n in 1 2 3; do
		put $((n * 8192)) 4096
		sync_host "rbd snap create --no-progress sn4@s$n && rbd export --no-progress sn4@s$n - >seen.s$n" >/run/create 2>&1 || fail "rbd snap create: $(tail -n1 /run/create)"
		# Then it did not wait for us, and what is under way gets into it still.
		if grep -q 'notification timed-out' /run/create; then sync_host "rm seen.s$n"; fi
		model_copy sn4 sn4s$n
	done
	work_end
	# Of the load's part, what is in a snapshot is not known, only that it does not change any more.
	sync_host 'for s in 1 2 3; do [ ! -e seen.s$s ] || rbd export --no-progress sn4@s$s - | cmp - seen.s$s || exit 1; done' >/run/err ||
		fail "a snapshot changed: $(tail -n1 /run/err)"
	sync_host 'for s in 1 2 3; do rbd export --no-progress sn4@s$s - | head -c 2097152 | cmp - <(head -c 2097152 m.sn4s$s) || exit 1; done' >/run/err ||
		fail "a snapshot differs from what it was taken of: $(tail -n1 /run/err)"
	dd if="$DEV" bs=1M iflag=direct of=$LAB/data/seen 2>/run/err
	sync_host 'rbd export --no-progress sn4 - | cmp - seen' || fail 'another client sees other data'
	unmap
}

# Rolled back by another client: without the lock that is possible while mapped, and the device shows what the image holds.
t_rollback() {
	img sn5 1 --object-size 256K
	model sn5 1048576
	map sn5
	put 0 8192
	sync_host 'rbd snap create --no-progress sn5@s'
	model_copy sn5 sn5s
	put 4096 8192
	both_are sn5 sn5
	host 'rbd snap rollback --no-progress sn5@s' >/run/rollback 2>&1 || fail "rbd snap rollback: $(tail -n1 /run/rollback)"
	both_are sn5s sn5
	unmap
}

# Whoever takes a snapshot is not told that it is there while a write is under way that began before: it would change the snapshot.
t_waits_for_writes() {
	[ "$DRIVER" = rust ] || skip 'the C driver answers at once'
	local id n rc osd
	img sn7 64 --object-size 1M
	map sn7
	id=$(attr image_id)
	apart_from_header "$id"
	quiet_udev
	dd if=/dev/zero of="$DEV" bs=64k count=1 seek=$((n * 16)) oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	# From us alone: whoever takes the snapshot may need that OSD.
	cut_off "$osd"
	dd if=/dev/zero of="$DEV" bs=64k count=1 seek=$((n * 16)) oflag=direct 2>/run/err &
	DD=$!
	hangs $DD write
	host_later 'rbd snap create --no-progress sn7@s'
	rc=$LATER.rc
	soon eval "host 'rados -p rbd listomapkeys rbd_header.$id' | grep -q ^snapshot_" || fail 'no snapshot comes'
	# librbd waits for 5 seconds for whoever uses the image, and says so if it was in vain.
	soon test -e "$rc" || fail 'rbd snap create does not end'
	! kill -0 $DD || grep -q 'notification timed-out' "${rc%.rc}.out" || fail 'the snapshot is said to be there, and the write may still change it'
	undo
	wait $DD || fail "write: $(cat /run/err)"
	eq "$(<"$rc")" 0 'rbd snap create'
	unmap || fail "unmap: $ERRNO"
}

# The snapshot that is mapped is removed by another client: reads fail or give zeroes, nothing hangs, it can be unmapped. Once we know of it
# they fail.
t_removed_while_mapped() {
	img sn6 1 --object-size 256K
	model sn6 1048576
	map sn6
	put 0 65536
	unmap
	sync_host 'rbd snap create --no-progress sn6@s'
	map sn6 '' s
	host 'rbd snap rm --no-progress sn6@s' || fail 'rbd snap rm'
	sleep 1
	timeout 100 dd if="$DEV" of=/dev/null bs=64k count=1 iflag=direct 2>/run/err || [ $? != 124 ] || fail 'a read hangs'
	if [ "$DRIVER" = rust ]; then
		if echo 1 >"$BUS/devices/$ID/refresh"; then fail 'the header of a snapshot that is gone was read'; fi
		if dd if="$DEV" of=/dev/null bs=64k count=1 iflag=direct 2>/run/err; then fail 'a snapshot that is gone is read'; fi
	fi
	unmap || fail "unmap: $ERRNO"
}

# A client that was shut out for a while, and whose mapping has no lock to lose, writes again when it hears of changes again, and not
# before.
t_shut_out_for_a_while() {
	[ "$DRIVER" = rust ] || skip 'the C driver does not watch again'
	pattern sn9 4
	create --size 4M --image-feature layering sn9
	map sn9
	dd if="$PATTERN" of="$DEV" bs=1M oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	local addr
	addr=$(attr client_addr)
	host "ceph osd blocklist add $addr" || fail 'ceph osd blocklist add'
	wait_for 90 eval '! dd if=/dev/zero of="$DEV" bs=4k count=1 seek=1023 oflag=direct 2>/run/err' || fail 'a blocklisted client wrote'
	wait_for 90 eval '[ "$(watchers sn9)" = 0 ]' || fail "watchers of a blocklisted client: $(watchers sn9)"
	host 'rbd snap create --no-progress sn9@out' || fail 'a snapshot meanwhile'
	host "ceph osd blocklist rm $addr" || fail 'ceph osd blocklist rm'
	wait_for 90 dd if=/dev/zero of="$DEV" bs=1M count=4 oflag=direct 2>/run/err || fail "no write after the block list: $(cat /run/err)"
	eq "$(watchers sn9)" 1 'watchers again'
	host 'rbd snap create --no-progress sn9@again' || fail 'a snapshot afterwards'
	dd if="$PATTERN" of="$DEV" bs=1M oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	host "rbd export --no-progress sn9@out - | head -c \$((1023 * 4096)) | cmp - <(head -c \$((1023 * 4096)) $PATTERN_HOST)" ||
		fail 'the snapshot has what was written after it'
	host 'rbd export --no-progress sn9@again - | cmp - <(head -c 4M /dev/zero)' || fail 'the later snapshot has something else'
	unmap
}

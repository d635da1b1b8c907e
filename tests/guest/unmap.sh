# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Unmapping that must end, whatever the cluster does.

# write_stuck: a write in the background that cannot end now
write_stuck() {
	dd if=/dev/zero of="$DEV" bs=64k count=16 oflag=direct 2>/run/err &
	DD=$!
	hangs $DD write
}
# Being removed, it cannot be opened any more.
going() { ! (exec 9<"$DEV") 2>/run/null; }
ours() { [ "$DRIVER" = rust ] || skip 'the C driver has no full-force'; }

t_full_force_write() {
	ours
	quiet_udev
	img uf1 8 --object-size 1M
	map uf1
	freeze osd mon
	write_stuck
	if unmap_once; then fail 'unmapped with a request in flight'; fi
	eq "$ERRNO" EBUSY errno
	soon grep -qE '^rbd_data\..*Write.*write.* ms$' "/sys/kernel/debug/rbd/$ID/requests" ||
		fail "debugfs shows: $(cat "/sys/kernel/debug/rbd/$ID/requests")"
	full_force "$ID"
	[ ! -e "/sys/kernel/debug/rbd/$ID" ] || fail 'the folder in debugfs outlives the device'
	if wait $DD; then fail 'the write succeeded'; fi
	grep -q 'Input/output error' /run/err || fail "the write ended with: $(cat /run/err)"
	if unmap_once "$ID" full-force; then fail 'unmapped twice'; fi
	eq "$ERRNO" ENOENT errno
	undo
	map uf1
	dd if=/dev/zero of="$DEV" bs=64k count=16 oflag=direct 2>/run/err || fail "write after mapping again: $(cat /run/err)"
	unmap
}

t_full_force_mounted() {
	ours
	quiet_udev
	img uf2 64
	map uf2
	mkfs.ext4 -q "$DEV"
	mkdir -p /run/mnt
	mount "$DEV" /run/mnt
	echo here >/run/mnt/kept
	sync
	freeze osd mon
	# The journal may hold up the writer already.
	(dd if=/dev/zero of=/run/mnt/lost bs=64k count=64 2>/run/err && sync -f /run/mnt) &
	local sync=$!
	hangs $sync sync
	full_force "$ID"
	wait $sync || true
	if cat /run/mnt/lost >/run/null 2>&1 && echo x >/run/mnt/more 2>/run/err && sync -f /run/mnt; then fail 'the file system is still served'; fi
	timeout 90 umount /run/mnt || fail 'umount'
	soon test ! -e "/sys/block/rbd$ID" || fail 'the disk outlives its last user'
	undo
	map uf2
	mount "$DEV" /run/mnt
	eq "$(cat /run/mnt/kept)" here 'what was written before'
	umount /run/mnt
	unmap
}

# A remover that waits is overtaken.
t_full_force_overtakes() {
	ours
	quiet_udev
	img uf3 8 --object-size 1M
	map uf3
	freeze osd mon
	write_stuck
	(unmap_once "$ID" force) &
	local forced=$!
	soon going || fail 'the device can still be opened'
	sleep 1
	kill -0 $forced || fail 'force did not wait for the write'
	if unmap_once "$ID" force; then fail 'removed twice'; fi
	eq "$ERRNO" EINPROGRESS errno
	full_force "$ID"
	wait $forced || fail 'the other remover failed'
	if wait $DD; then fail 'the write succeeded'; fi
	# One that nobody uses, whose watch cannot be ended.
	undo
	map uf3
	freeze osd mon
	# It may find us having a look at it.
	(unmap "$ID") &
	forced=$!
	soon going || fail 'the device can still be opened'
	sleep 1
	kill -0 $forced || fail 'the watch was ended all the same'
	# The module is in use: who took it out would wait as well, and there would be no file to write to any more.
	if rmmod rbd 2>/run/err; then fail 'the module was removed meanwhile'; fi
	grep -q 'in use' /run/err || fail "rmmod: $(cat /run/err)"
	full_force "$ID"
	wait $forced || fail 'the other remover failed'
}

# With the cluster gone for good, the modules can still be taken out.
t_full_force_unload() {
	ours
	quiet_udev
	img uf4 8 --object-size 1M
	img uf5 8 --object-size 1M
	map uf4
	local other=$ID
	map uf5 noshare
	freeze osd mon
	write_stuck
	full_force "$ID"
	full_force "$other"
	wait $DD || true
	local t=$SECONDS
	unload_driver
	[ $((SECONDS - t)) -le 60 ] || fail "unloading took $((SECONDS - t)) s"
	undo
	load_driver
	map uf4
	dd if="$DEV" of=/dev/null bs=64k count=1 iflag=direct 2>/run/err || fail "read after mapping again: $(cat /run/err)"
	unmap
}

# The cluster is well, and others go on.
t_full_force_healthy() {
	ours
	img uf6 8 --object-size 1M
	img uf7 8 --object-size 1M
	map uf6
	local other=$ID
	map uf7
	eq "$(attr client_id)" "$(attr client_id "$other")" 'the client is shared'
	full_force "$ID"
	dd if=/dev/zero of="/dev/rbd$other" bs=64k count=4 oflag=direct 2>/run/err || fail "the other mapping: $(cat /run/err)"
	map uf7
	dd if=/dev/zero of="$DEV" bs=64k count=4 oflag=direct 2>/run/err || fail "mapped again: $(cat /run/err)"
	unmap
	unmap "$other"
}

t_words() {
	img un1 8
	map un1
	local w
	for w in Force full full-forced full_force; do
		if unmap_once "$ID" "$w"; then fail "accepted '$w'"; fi
		eq "$ERRNO" EINVAL "errno of '$w'"
	done
	unmap
	if unmap_once "$ID"; then fail 'unmapped twice'; fi
	eq "$ERRNO" ENOENT 'errno of unmapping twice'
}

# Refused while mounted, and nothing is harmed.
t_busy() {
	img un2 64
	map un2
	mkfs.ext4 -q "$DEV" || fail mkfs
	mkdir -p /run/mnt
	mount "$DEV" /run/mnt || fail mount
	if unmap_once; then fail 'a mounted device was unmapped'; fi
	eq "$ERRNO" EBUSY 'errno when mounted'
	echo kept >/run/mnt/file
	sync -f /run/mnt
	umount /run/mnt
	mount "$DEV" /run/mnt || fail 'mount again'
	eq "$(</run/mnt/file)" kept 'a file after the refusal'
	umount /run/mnt
	unmap || fail "unmap: $ERRNO"
}

# `force` while open and idle: the device goes, its user gets errors, and it can be mapped again.
t_force() {
	img un3 8
	map un3
	exec 7<>"$DEV"
	unmap_once "$ID" force || fail "force: $ERRNO"
	if dd if=/dev/zero bs=4k count=1 oflag=direct 2>/run/err >&7; then fail 'a write after force'; fi
	exec 7>&-
	soon test ! -e "$BUS/devices/$ID" || fail 'the device is still on the bus'
	map un3
	dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct 2>/run/err || fail "write after mapping again: $(cat /run/err)"
	unmap
}

# The same under the exclusive lock, with an object map to be kept.
t_full_force_locked() {
	ours
	quiet_udev
	image un4 8M --object-size 1M
	map un4
	dd if=/dev/zero of="$DEV" bs=64k count=1 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	freeze osd mon
	write_stuck
	full_force "$ID"
	if wait $DD; then fail 'the write succeeded'; fi
	grep -q "rbd$ID: the exclusive lock is left behind by client" <<<"$(dmesg)" || fail 'nobody was told of the lock'
	undo
	map un4
	dd if=/dev/zero of="$DEV" bs=64k count=64 oflag=direct 2>/run/err || fail "write after mapping again: $(cat /run/err)"
	unmap
	map_is_right un4
}

# Of two mappings that share a client, one is taken away; what the other waits for comes true when the cluster is back.
t_full_force_shared() {
	ours
	quiet_udev
	img un5 8 --object-size 1M
	img un6 8 --object-size 1M
	map un5
	local id=$ID dev=$DEV
	map un6
	model un6 8388608
	put 0 65536
	freeze osd mon
	dd if=/dev/zero of="$dev" bs=64k count=8 oflag=direct 2>/run/err.dd &
	dd if="$PATTERN" of="$DEV" bs=64k count=8 oflag=direct 2>/run/err.dd2 &
	local other=$!
	wait_for 60 in_flight "$dev" || fail "the write does not get to the device: $(cat /run/err.dd)"
	hangs $other 'other write'
	full_force "$id"
	kill -0 $other || fail "the other mapping's write ended: $(cat /run/err.dd2)"
	undo
	wait $other || fail "the other mapping: $(cat /run/err.dd2)"
	todo "head -c 524288 $PATTERN_HOST | dd of=m.un6 bs=64k conv=notrunc status=none"
	both_are un6 un6
	unmap
}

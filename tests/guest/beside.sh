# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# librbd works on the very image that is mapped, at the same time: what both see is the same in the end, and the object map is right.
. "$here/objmap.sh"

# same NAME   the device is what librbd exports
same() {
	dd if="$DEV" bs=1M iflag=direct of=$LAB/data/seen 2>/run/err || fail "reading: $(cat /run/err)"
	sync_host "rbd export --no-progress $1 - | cmp - seen" >/run/err || fail "the device and librbd differ: $(tail -n1 /run/err)"
}

# Both write anywhere, at once.
t_bench() {
	image be1 8M --object-size 64K
	source_pattern
	map be1
	work_begin --size=8M --iodepth=8 --rate_iops=100 --verify=0 --do_verify=0
	host "for t in write rw; do timeout 115 rbd bench --io-type \$t --io-size 16K --io-threads 4 --io-total $(more 1)M --io-pattern rand be1 || exit 1; done" >/run/bench ||
		fail "rbd bench: $(tail -n1 /run/bench)"
	work_end
	same be1
	map_agrees be1
	unmap
}

# rbd-nbd, in the same guest.
t_nbd() {
	image be2 4M --object-size 256K
	source_pattern
	modprobe nbd 2>/dev/null || true
	map be2
	local nbd
	nbd=$(timeout 150 rbd-nbd map be2 2>/run/err) || fail "rbd-nbd: $(tail -n1 /run/err)"
	at_end timeout 150 rbd-nbd unmap "$nbd"
	work_begin --size=2M --rate_iops=60
	fio --output-format=terse --ioengine=libaio --direct=1 --thread --filename="$nbd" --name=other --rw=randwrite --bs=4k --offset=2M --size=2M \
		--iodepth=4 --time_based --runtime=10 --rate_iops=60 --verify=crc32c --do_verify=1 --verify_fatal=1 --randrepeat=1 >/run/load.nbd 2>&1 ||
		fail "I/O by rbd-nbd: $(tail -n 3 /run/load.nbd)"
	work_end
	same_devices "$DEV" "$nbd" || fail 'the devices differ'
	# What the one discards, the other does not see.
	dd if="$PATTERN" of="$DEV" bs=1M count=2 seek=1 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	blkdiscard -o 1048576 -l 524288 "$nbd" || fail 'discard by rbd-nbd'
	dd if="$DEV" bs=1M skip=1 count=2 iflag=direct 2>/run/err | cmp - <(head -c 524288 /dev/zero; tail -c +524289 "$PATTERN" | head -c 1572864) ||
		fail 'the device does not read what rbd-nbd left'
	same be2
	undo || fail 'rbd-nbd unmap'
	map_agrees be2
	unmap
}

# Everything that an operator may do to an image in use, under verified I/O.
t_operator() {
	image be3 4M --object-size 64K
	source_pattern
	map be3
	work_begin --size=2M --rate_iops=60
	local n rounds=1
	if [ -n "${SOAK:-}" ]; then rounds=6; fi
	for ((n = 0; n < rounds; n++)); do
		host "set -e -o pipefail
rbd snap create --no-progress be3@a
rbd resize --no-progress --size 9M be3
rbd snap create --no-progress be3@b
rbd object-map check --no-progress be3@a
if rbd info be3@a | grep 'object map invalid'; then exit 1; fi
rbd feature disable be3 fast-diff
rbd feature enable be3 fast-diff
rbd object-map rebuild --no-progress be3
rbd snap rename be3@b be3@c
rbd export --no-progress be3@a - | wc -c | grep -x 4194304
rbd resize --no-progress --allow-shrink --size 4M be3
rbd image-meta set be3 key value
rbd snap rm --no-progress be3@a
rbd feature disable be3 object-map fast-diff
rbd feature enable be3 object-map fast-diff
rbd object-map rebuild --no-progress be3
rbd snap rm --no-progress be3@c" >/run/operator 2>&1 || fail "librbd: $(grep -v ' -1 ' /run/operator | tail -n 2 | tr '\n' ' ')"
	done
	work_end
	same be3
	host 'rbd object-map rebuild --no-progress be3' || fail 'rbd object-map rebuild'
	dd if="$PATTERN" of="$DEV" bs=64k count=3 seek=40 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	same be3
	map_agrees be3
	unmap
}

# The locking feature goes under I/O, and comes back while it is mapped. The lock goes on being taken meanwhile, though nobody asks for it.
t_lock_feature() {
	image be4 4M --object-size 64K
	source_pattern
	map be4
	work_begin --size=2M --rate_iops=60
	host 'rbd feature disable be4 fast-diff object-map && rbd feature disable be4 exclusive-lock' >/run/operator 2>&1 || fail "rbd feature disable: $(tail -n1 /run/operator)"
	if [ "$DRIVER" = c ]; then : >/run/work.stop; wait $WORK || true; skip 'the C driver fails all writes from here on'; fi
	work_end
	same be4
	dd if="$PATTERN" of="$DEV" bs=64k count=3 seek=40 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	same be4
	host 'rbd feature enable be4 exclusive-lock object-map fast-diff && rbd object-map rebuild --no-progress be4' >/run/operator 2>&1 || fail "rbd feature enable: $(tail -n1 /run/operator)"
	dd if="$PATTERN" of="$DEV" bs=64k count=3 seek=50 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	same be4
	map_agrees be4
	unmap
}

# librbd does not roll back what another client has the lock of; without it, it does.
t_rollback() {
	image be5 2M --object-size 64K
	model be5 2097152
	map be5
	put 0 131072
	put 1048576 4096
	sync_host 'rbd snap create --no-progress be5@s'
	model_copy be5 be5s
	put 65536 131072
	put $((65536 * 20)) 65536
	if host 'rbd snap rollback --no-progress be5@s' >/run/operator 2>&1; then fail 'rolled back under the lock of another client'; fi
	grep -q 'Read-only file system' /run/operator || fail "rbd snap rollback: $(tail -n1 /run/operator)"
	both_are be5 be5
	unmap
	host 'rbd snap rollback --no-progress be5@s' >/run/operator 2>&1 || fail "rbd snap rollback: $(tail -n1 /run/operator)"
	todo 'cp m.be5s m.be5'
	map be5
	both_are be5 be5
	put $((65536 * 24)) 4096
	both_are be5 be5
	export_is be5@s be5s
	map_agrees be5 s
	unmap
}

# `rbd lock rm`: librbd also keeps the owner out for good, so its I/O fails; a new mapping is a new client.
t_lock_rm() {
	image be6 4M --object-size 64K
	source_pattern
	map be6
	dd if="$PATTERN" of="$DEV" bs=64k count=8 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	local addr t
	addr=$(attr client_addr)
	fio --output-format=terse --ioengine=libaio --direct=1 --thread --filename="$DEV" --name=load --rw=randwrite --bs=4k --offset=1M --size=1M --iodepth=4 \
		--time_based --runtime=900 --rate_iops=60 >/run/load.be6 2>&1 &
	local load=$!
	soon eval '[ "$(writes_done)" -gt 40 ]' || fail 'fio writes nothing'
	host "rbd lock rm be6 \"\$(rbd lock ls be6 | sed -n 's/^client[^ ]* *\\(auto [0-9]*\\) .*/\\1/p')\" \$(rbd lock ls be6 | awk '\$1 ~ /^client/ { print \$1 }')" >/run/operator 2>&1 ||
		fail "rbd lock rm: $(tail -n1 /run/operator)"
	t=$SECONDS
	soon eval "! kill -0 $load" 2>/dev/null || fail 'I/O of a client that is kept out does not end'
	if wait $load; then fail 'I/O went on without the lock'; fi
	echo "I/O failed after $((SECONDS - t)) s"
	unmap || unmap "$ID" force || fail "unmap: $ERRNO"
	map be6
	[ "$(attr client_addr)" != "$addr" ] || fail 'the same address again'
	dd if="$PATTERN" of="$DEV" bs=64k count=8 seek=40 oflag=direct 2>/run/err || fail "write by a new client: $(cat /run/err)"
	dd if="$DEV" bs=64k count=8 iflag=direct 2>/run/err | cmp -n 524288 - "$PATTERN" || fail 'what was written before is lost'
	same be6
	map_is_right be6
	unmap
	host_later "ceph osd blocklist rm $addr"
}

# The same when librbd was told not to keep the owner out: nobody tells it, so it goes on, as librbd itself would. Nothing hangs, what needs
# the object map fails, and a new mapping sees what all wrote.
t_lock_rm_only() {
	image be7 4M --object-size 64K
	source_pattern
	map be7
	dd if="$PATTERN" of="$DEV" bs=64k count=8 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	host "rbd --rbd_blocklist_on_break_lock=false lock rm be7 \"\$(rbd lock ls be7 | sed -n 's/^client[^ ]* *\\(auto [0-9]*\\) .*/\\1/p')\" \$(rbd lock ls be7 | awk '\$1 ~ /^client/ { print \$1 }')" >/run/operator 2>&1 ||
		fail "rbd lock rm: $(tail -n1 /run/operator)"
	host 'timeout 150 rbd bench --io-type write --io-size 64K --io-total 1M be7' >/run/bench 2>&1 || fail "rbd bench: $(tail -n1 /run/bench)"
	timeout 150 dd if="$PATTERN" of="$DEV" bs=64k count=8 seek=40 oflag=direct 2>/run/err || [ $? != 124 ] || fail 'a write hangs'
	echo "write after that: $(tail -n1 /run/err)"
	unmap || fail "unmap: $ERRNO"
	map be7
	dd if="$PATTERN" of="$DEV" bs=64k count=8 seek=20 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	same be7
	map_is_right be7
	unmap
}

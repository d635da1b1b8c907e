# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The exclusive lock: between two mappings, and between a mapping and librbd.

locked_image() { # NAME SIZE
	image "$1" "$2" --image-feature layering --image-feature exclusive-lock --object-size 256K
}
# As `owner` says it of our mapping.
us() { echo "$(attr client_id "${1:-$ID}") $(attr client_addr "${1:-$ID}")"; }
write_at() { # OFFSET [DEV]
	dd if=/dev/zero of="${2:-$DEV}" bs=4k count=1 oflag=direct,seek_bytes seek="$1" 2>/run/err
}
# It ends, and with an error.
write_fails() {
	local rc=0
	timeout 100 dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct 2>/run/err || rc=$?
	[ $rc != 124 ] || fail 'the write does not end'
	[ $rc != 0 ]
}
# librbd on the host, in Python: `i` is the image, `ready()` tells the guest, `told()` waits for its `tell`.
librbd() { # IMAGE SCRIPT
	cat <<X
cd $DATA
exec python3 -c '
import os, rados, rbd, signal, sys, time
open("pid.$1", "w").write(str(os.getpid()))
with rados.Rados(conffile="/etc/ceph/ceph.conf") as c, c.open_ioctx("rbd") as io, rbd.Image(io, "$1") as i:
    def ready(): open("ready.$1", "w").close()
    def told():
        for t in range(2000):
            if os.path.exists("tell.$1"): return
            time.sleep(0.1)
        sys.exit("the guest told nothing")
$(sed 's/^/    /' <<<"$2")
'
X
}
# The same in the background, until it is ready.
peer() {
	host_later "$(librbd "$1" "$2")"
	at_end end_peer "$1" "$LATER"
	local ready=$LAB/data/ready.$1
	soon eval '[ -e "$ready" ] || [ -e "$LATER.rc" ]' || true
	[ -e "$ready" ] || fail "the peer is not ready: $(tail -n1 "$LATER.out")"
}
# It may stand still, and hold the lock.
end_peer() { [ -e "$2.rc" ] || host "kill -KILL \$(cat $DATA/pid.$1); true" >/run/null; }
tell() { : >"$LAB/data/tell.$1"; }

# Held after a write, with the address the device shows, and gone after unmapping.
t_taken() {
	locked_image lk1 4
	map lk1
	write_at 0 || fail 'write'
	eq "$(owner lk1)" "$(us)" 'owner of the lock'
	# The lock is named after the watch, so that others can see whether its owner lives.
	host "id=\$(rbd lock ls lk1 | sed -n 's/.* auto \\([0-9]*\\) .*/\\1/p'); rbd status lk1 | grep -q \"cookie=\$id\$\"" || fail 'no watcher has the cookie in the lock'
	unmap
	eq "$(owner lk1)" '' 'owner after unmapping'
}

# librbd asks for it and gets it, again and again, under verified I/O on both sides.
t_given_up() {
	locked_image lk2 4
	source_pattern
	map lk2
	work_begin --size=1M --rate_iops=40
	local turns
	# On a slow machine the lock changes hands less often: then there is more time for it.
	turns=$(host "$(librbd lk2 '
turns, n, end = 0, 0, time.time() + 60
data = open("source", "rb").read()[:1 << 20]
while n < 64 or turns < 2 and time.time() < end:
    if not i.is_exclusive_lock_owner(): turns += 1
    at = n % 64 << 14
    i.write(data[at:at + 16384], (2 << 20) + at)
    time.sleep(0.1)
    n += 1
print(turns)')") || fail "librbd: $turns"
	work_end
	[ "$turns" -ge 2 ] || fail "librbd had to ask for the lock $turns times"
	dd if="$DEV" bs=1M skip=2 count=1 iflag=direct 2>/run/err | cmp -n 1048576 - "$PATTERN" || fail 'what librbd wrote is not what the device reads'
	dd if="$DEV" bs=1M iflag=direct of=$LAB/data/seen 2>/run/err
	sync_host 'rbd export --no-progress lk2 - | cmp - seen' || fail 'the device and librbd differ'
	echo "librbd took the lock $turns times"
	unmap
}

# Not given up: others are refused, and the owner goes on.
t_exclusive() {
	locked_image lk3 4
	map lk3 exclusive
	eq "$(owner lk3)" "$(us)" 'owner after mapping'
	if host "timeout 100 rbd bench --io-type write --io-size 4K --io-total 16K lk3" >/run/bench; then fail 'librbd wrote all the same'; fi
	grep -qi 'read-only' /run/bench || fail "rbd bench said: $(tail -n1 /run/bench)"
	write_at 8192 || fail 'write by the owner'
	local id=$ID
	if add_raw "$(monspec v2) $(opts v2),noshare,exclusive rbd lk3"; then fail 'mapped twice with exclusive'; fi
	eq "$ERRNO" EROFS 'errno of the second'
	eq "$(owner lk3)" "$(us "$id")" 'owner after all that'
	unmap "$id"
	# It needs the feature.
	img lk3b 4
	if add_raw "$(monspec v2) $(opts v2),exclusive rbd lk3b"; then fail 'exclusive without the feature'; fi
	eq "$ERRNO" EINVAL 'errno without the feature'
}

# A librbd client that does not give it up: the guest's write fails, its reads work.
t_refused_by_librbd() {
	locked_image lk4 4
	map lk4
	write_at 0 || fail write
	peer lk4 '
i.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)
ready()
told()'
	write_fails || fail 'a write succeeded without the lock'
	dd if="$DEV" of=/dev/null bs=4k count=1 iflag=direct 2>/run/err || fail 'a read needs no lock'
	tell lk4
	soon eval '[ -z "$(owner lk4)" ]' || fail 'the peer does not end'
	write_at 0 || fail 'write after the peer ended'
	unmap
}

# Two mappings of the guest take turns.
t_two_mappings() {
	locked_image lk5 4
	map lk5
	local a=$DEV ida=$ID
	map lk5 noshare
	local b=$DEV i=0 args
	args='--output-format=terse --ioengine=libaio --direct=1 --thread --rw=randwrite --bs=4k --size=512k --iodepth=4 --io_size=160k
		--rate_iops=20 --verify=crc32c --do_verify=1 --verify_fatal=1 --randrepeat=1'
	fio --filename="$a" --name=a --offset=0 $args >/run/fio.a 2>&1 &
	i=$!
	fio --filename="$b" --name=b --offset=2M $args >/run/fio.b 2>&1 || fail "the second: $(tail -n2 /run/fio.b)"
	wait $i || fail "the first: $(tail -n2 /run/fio.a)"
	same_devices "$a" "$b" || fail 'the two mappings differ'
	unmap
	unmap "$ida"
	eq "$(owner lk5)" '' 'owner after unmapping'
}

# The owner stands still: mapping with `exclusive` gives up in time.
t_lock_timeout() {
	locked_image lk6 4
	peer lk6 '
i.write(b"x" * 512, 0)
ready()
os.kill(os.getpid(), signal.SIGSTOP)'
	local t=$SECONDS
	if add_raw "$(monspec v2) $(opts v2),exclusive,lock_timeout=3 rbd lk6"; then fail 'mapped while another holds the lock'; fi
	t=$((SECONDS - t))
	eq "$ERRNO" ETIMEDOUT errno
	undo
	# The C driver waits for the answer to its notification first: half a minute. Without the option it would be forever.
	[ $t -ge 3 ] && [ $t -le 100 ] || fail "gave up after $t s, lock_timeout was 3"
}

# The owner is dead: its lock is broken, and it is kept from writing ever again.
t_dead_owner() {
	locked_image lk7 4
	map lk7
	write_at 0 || fail write
	at_end watch_timeout_end
	host 'ceph config set osd osd_client_watch_timeout 8; ceph osd blocklist ls 2>/dev/null' >/run/before
	peer lk7 '
i.write(b"x" * 512, 0)
open("owner.lk7", "w").write(os.popen("rbd lock ls lk7 | tail -n1").read())
ready()
os.kill(os.getpid(), signal.SIGKILL)'
	local t=$SECONDS addr
	addr=$(awk '{ print $NF }' $LAB/data/owner.lk7)
	timeout 150 dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct 2>/run/err || fail "write after $((SECONDS - t)) s: $(cat /run/err)"
	echo "the lock was broken after $((SECONDS - t)) s"
	eq "$(owner lk7)" "$(us)" 'owner of the lock'
	host 'ceph osd blocklist ls 2>/dev/null' >/run/after
	grep -qF "$addr " /run/after || fail "the dead owner $addr is not blocklisted: $(tr '\n' ' ' </run/after)"
	host_later "ceph osd blocklist rm $addr"
	unmap
}

watch_timeout_end() { host 'ceph config rm osd osd_client_watch_timeout'; }

# We are the one who is kept out: I/O fails, unmapping works, and so does mapping again.
t_blocklisted() {
	locked_image lk8 4
	map lk8
	write_at 0 || fail write
	local addr
	addr=$(attr client_addr)
	host "ceph osd blocklist add $addr" || fail 'ceph osd blocklist add'
	# The OSD may hear of it later than we come.
	soon write_fails || fail 'a blocklisted client wrote'
	# Others have broken the lock since then, for all we know.
	host "ceph osd blocklist rm $addr" || fail 'ceph osd blocklist rm'
	sleep 5
	[ "$DRIVER" = c ] || write_fails || fail 'it goes on where others may have taken its place'
	unmap || fail "unmap: $ERRNO"
	map lk8
	[ "$(attr client_addr)" != "$addr" ] || fail 'the same address again'
	write_at 0 || fail "write by a new client: $(cat /run/err)"
	unmap
}

# Reads take no lock, unless asked to.
t_lock_on_read() {
	# udev reads, too.
	quiet_udev
	locked_image lk9 4
	map lk9
	local plain=$DEV asked
	map lk9 noshare,lock_on_read
	asked=$ID
	peer lk9 '
i.write(b"x" * 512, 0)
open("owner.lk9", "w").write(str(c.get_instance_id()))
ready()
told()'
	dd if="$plain" of=/dev/null bs=4k count=1 iflag=direct 2>/run/err || fail "read: $(cat /run/err)"
	eq "$(owner lk9 | cut -d' ' -f1)" "client$(<$LAB/data/owner.lk9)" 'owner after a read'
	dd if="$DEV" of=/dev/null bs=4k count=1 iflag=direct 2>/run/err || fail "read with lock_on_read: $(cat /run/err)"
	eq "$(owner lk9)" "$(us "$asked")" 'owner after a read with lock_on_read'
	tell lk9
	unmap "$asked"
	unmap "${plain#/dev/rbd}"
}

# The OSD that keeps watch and lock is restarted: the lock is still ours, under the new watch.
t_watch_lost() {
	locked_image lk10 4
	map lk10
	write_at 0 || fail write
	host "o=\$(ceph osd map rbd rbd_header.$(attr image_id) -f json | python3 -c 'import json,sys; print(json.load(sys.stdin)[\"acting_primary\"])')
p=\$(cat /build/run/ceph/run/osd.\$o.pid); kill \$p; while [ -d /proc/\$p ] && [ \"\$(cut -d' ' -f3 /proc/\$p/stat)\" != Z ]; do sleep 0.1; done
sleep 1; cd /; ceph-osd -i \$o" >/run/err || fail "restarting the OSD: $(cat /run/err)"
	timeout 150 dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	watched() { host "id=\$(rbd lock ls lk10 | sed -n 's/.* auto \\([0-9]*\\) .*/\\1/p'); rbd status lk10 | grep -q \"cookie=\$id\$\""; }
	soon watched || fail "no watcher has the cookie in the lock: $(host rbd lock ls lk10; host rbd status lk10)"
	eq "$(owner lk10)" "$(us)" 'owner of the lock'
	# The list of watchers has those, too, whom the OSD has not heard of since it came back.
	local client
	client=$(attr client_id)
	heard() { grep -q "reply client.${client#client} " <<<"$(host "timeout 60 rados -p rbd notify rbd_header.$(attr image_id) hello 2>&1 || true" | tee /run/heard)"; }
	soon heard || fail "our watch does not hear: $(tr '\n' ' ' </run/heard) $(cat /sys/kernel/debug/ceph/*/osdc)"
	host 'timeout 150 rbd bench --io-type write --io-size 4K --io-total 16K lk10' >/run/bench || fail "rbd bench: $(tail -n1 /run/bench)"
	write_at 4096 || fail "write after rbd bench: $(cat /sys/kernel/debug/ceph/*/osdc)"
	unmap
}

# A lock that is none of ours to break: `rbd lock add` by hand.
t_by_hand() {
	locked_image lk11 4
	host 'rbd lock add lk11 byhand' || fail 'rbd lock add'
	if add_raw "$(monspec v2) $(opts v2),exclusive rbd lk11"; then fail 'mapped in spite of the lock'; fi
	eq "$ERRNO" EBUSY errno
	host "rbd lock rm lk11 byhand \$(rbd lock ls lk11 | awk '\$1 ~ /^client/ { print \$1 }')"
	map lk11 exclusive
	write_at 0 || fail write
	unmap
}

# The owner stands still, I/O waits for it, and full force does not.
t_full_force_waiting() {
	[ "$DRIVER" = rust ] || skip 'the C driver has no full-force'
	source_pattern
	locked_image lk12 4
	peer lk12 '
i.write(b"x" * 512, 0)
ready()
os.kill(os.getpid(), signal.SIGSTOP)'
	map lk12
	dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct 2>/run/err &
	local dd=$!
	soon grep -q waiting "/sys/kernel/debug/rbd/$ID/requests" || fail "debugfs shows: $(cat "/sys/kernel/debug/rbd/$ID/requests")"
	hangs $dd write
	if unmap_once "$ID"; then fail 'unmapped with a request that waits'; fi
	eq "$ERRNO" EBUSY errno
	full_force "$ID"
	if wait $dd; then fail 'the write succeeded'; fi
	grep -q 'Input/output error' /run/err || fail "the write ended with: $(cat /run/err)"
	# The owner lives, and has its lock.
	[ -n "$(owner lk12)" ] || fail 'the lock is gone'
	undo
}

# With a feature that we cannot keep to nothing is written, and without it again.
t_journaling_enabled() {
	[ "$DRIVER" = rust ] || skip 'the C driver takes features for what never changes'
	locked_image lk14 4
	map lk14
	write_at 0 || fail "write: $(cat /run/err)"
	host 'rbd feature enable lk14 journaling' || fail 'rbd feature enable'
	soon write_fails || fail 'written without the journal'
	host 'rbd feature disable lk14 journaling' || fail 'rbd feature disable'
	soon write_at 0 || fail "write without journaling: $(cat /run/err)"
	unmap
}

# The feature comes while the image is mapped and written to: from then on the lock is taken.
t_enabled_while_mapped() {
	[ "$DRIVER" = rust ] || skip 'the C driver takes features for what never changes'
	image lk13 4M --image-feature layering --object-size 256K
	map lk13
	work_begin --size=1M --rate_iops=60
	eq "$(owner lk13)" '' 'owner before'
	host 'rbd feature enable lk13 exclusive-lock object-map fast-diff' || fail 'rbd feature enable'
	soon eval '[ "$(owner lk13)" = "$(us)" ]' || fail "the owner is '$(owner lk13)'"
	host 'rbd object-map rebuild --no-progress lk13' || fail 'rbd object-map rebuild'
	work_end
	write_at 2M || fail "write: $(cat /run/err)"
	eq "$(owner lk13)" "$(us)" 'owner after a write'
	map_is_right lk13
	unmap
	eq "$(owner lk13)" '' 'owner after unmapping'
}

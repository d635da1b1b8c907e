# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Every map option of rbd(8): accepted, and with its effect where that can be seen.

# Each test's own: the image of the one before may still be being removed.
OP=op$BASHPID

# with OPTIONS   maps it with them, writes and reads a little, and leaves it mapped
with() {
	map $OP "$1" || fail "options '$1'"
	dd if=/dev/zero of="$DEV" bs=4k count=2 oflag=direct 2>/run/err || fail "write with '$1': $(cat /run/err)"
	dd if="$DEV" of=/dev/null bs=4k count=2 iflag=direct 2>/run/err || fail "read with '$1': $(cat /run/err)"
}
# The option as debugfs tells it, of the client of this mapping.
client_options() { cat "/sys/kernel/debug/ceph/$fsid.$(attr client_id)/client_options"; }
shown() { # PATTERN WHAT
	grep -q "$1" <<<"$(client_options)" || fail "client_options does not show $2: $(client_options)"
}
q() { cat "/sys/block/rbd$ID/queue/$1"; }

# Of the client: everything that is not a default shows in debugfs.
t_client() {
	img $OP 4
	local PROTO=v1
	with "fsid=$fsid,notcp_nodelay,osdkeepalive=7,mount_timeout=33,osd_idle_ttl=44,osd_request_timeout=55,rxbounce"
	shown notcp_nodelay notcp_nodelay
	shown osdkeepalivetimeout=7 osdkeepalive
	shown mount_timeout=33 mount_timeout
	shown osd_idle_ttl=44 osd_idle_ttl
	shown osd_request_timeout=55 osd_request_timeout
	shown rxbounce rxbounce
	unmap
	# OSDs take no unsigned messages, unless they are told so: nocephx_sign_messages is not for this cluster.
	with nocrc,nocephx_require_signatures
	shown nocrc nocrc
	unmap
	with crc,tcp_nodelay,share,cephx_sign_messages,cephx_require_signatures
	if grep -q 'nocrc\|notcp\|noshare\|nocephx' <<<"$(client_options)"; then fail "defaults are shown: $(client_options)"; fi
	unmap
	# The C driver's client that is there already does not ask again.
	if [ "$DRIVER" = c ]; then return 0; fi
	if map $OP "fsid=00000000-1111-2222-3333-444444444444" 2>/run/err; then fail 'mapped from a cluster of another fsid'; fi
	eq "$ERRNO" EINVAL 'errno for another fsid'
}

# scribble SECONDS   reads, while others write to the buffer that is read into
scribble() {
	python3 - "$DEV" "$1" <<'EOF'
import mmap, os, sys, time
size, end = 4 << 20, time.monotonic() + float(sys.argv[2])
buf = mmap.mmap(-1, size)
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
if os.fork() == 0:
    while time.monotonic() < end:
        for at in range(0, size, 4096):
            buf[at] = 0x5a
    os._exit(0)
reads = 0
while time.monotonic() < end:
    if os.preadv(fd, [buf], 0) != size:
        sys.exit("short read")
    reads += 1
os.wait()
print(reads, "reads")
EOF
}

# Received elsewhere first, the checksum is that of what came, whoever writes to the buffer.
t_rxbounce() {
	img $OP 4
	map $OP
	pattern p1 4
	dd if="$PATTERN" of="$DEV" bs=1M oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	# Without it the connection breaks, again and again, and the read may take longer than this.
	dmesg -C
	local round
	for round in 1 2 3 4 5; do
		timeout 20 bash -c "$(declare -f scribble); DEV=$DEV; scribble 3" >/run/out 2>&1 || true
		if grep -qi crc <<<"$(dmesg)"; then break; fi
		echo "no checksum was wrong in round $round"
	done
	grep -qi crc <<<"$(dmesg)" || skip "no checksum was wrong without rxbounce: $(cat /run/out)"
	unmap
	local PROTO
	for PROTO in v1 v2; do
		map $OP rxbounce
		dmesg -C
		scribble 3 || fail "read ($PROTO)"
		if grep -i crc <<<"$(dmesg)"; then fail "a checksum is wrong with rxbounce ($PROTO)"; fi
		cmp "$DEV" "$PATTERN" || fail "what is read differs ($PROTO)"
		unmap
	done
}

# Where requests go and what happens to them when they cannot.
t_placement() {
	img $OP 4
	local w
	for w in localize balance; do
		with read_from_replica=$w
		shown read_from_replica=$w read_from_replica
		unmap
	done
	with crush_location=host:h1\|rack:r1,abort_on_full
	shown 'crush_location=host:h1|rack:r1' crush_location
	shown abort_on_full abort_on_full
	unmap
	with read_from_replica=no
	unmap
	local o
	for o in read_from_replica=maybe crush_location=host osd_request_timeout=x ms_mode=none compression_hint=much lock_timeout=-3 alloc_size=0 alloc_size=513 queue_depth=0; do
		if map $OP $o 2>/run/err; then fail "accepted: $o"; fi
		eq "$ERRNO" EINVAL "errno of $o"
	done
}

# How many reads each of the three OSDs has served.
reads() {
	host 'for o in 0 1 2; do ceph tell osd.$o perf dump osd 2>/dev/null; done' |
		python3 -c 'import json, re, sys; print(*[int(n) for n in re.findall(r"\"op_r\": (\d+)", sys.stdin.read())])'
}
# reads_by SIZE   sets N to the reads that each OSD serves while 128 blocks of SIZE bytes are read from the device. A replica learns with later writes to the group that
# what it has is stable, and has the primary asked until then: where few writes get done in two seconds that takes several rounds.
reads_by() {
	local before after
	host "rados -p $POOL bench 2 write -b 4096 -t 4 --no-cleanup" >/run/err 2>&1 || fail "rados bench: $(tail -n1 /run/err)"
	read -ra before <<<"$(reads)"
	dd if="$DEV" of=/run/read bs="$1" count=128 iflag=direct 2>/run/err || fail "read: $(cat /run/err)"
	cmp -n $((128 * $1)) /run/read "$PATTERN" || fail 'what is read differs'
	read -ra after <<<"$(reads)"
	N=($((after[0] - before[0])) $((after[1] - before[1])) $((after[2] - before[2])))
	echo "reads: ${N[*]}"
}
# all_serve, one_serves   of 128 reads of one object;  near_serves   of 128 reads of eight
all_serve() {
	reads_by 8192
	[ "${N[0]}" -ge 16 ] && [ "${N[1]}" -ge 16 ] && [ "${N[2]}" -ge 16 ]
}
one_serves() {
	reads_by 8192
	local most
	most=$(printf '%s\n' "${N[@]}" | sort -n | tail -n 1)
	[ "$most" -ge 120 ] && [ $((N[0] + N[1] + N[2] - most)) -lt 16 ]
}
near_serves() {
	reads_by 65536
	[ "${N[2]}" -ge 120 ]
}
# One of the OSDs is on a host of its own, while the test lasts.
osd_apart() {
	HOST=$(host 'ceph osd find 2 -f json' | python3 -c 'import json, sys; print(json.load(sys.stdin)["crush_location"]["host"])')
	at_end osd_back
	host "ceph osd crush create-or-move osd.2 1 root=default host=near" >/run/err 2>&1 || fail "moving an OSD: $(cat /run/err)"
}
osd_back() { host "ceph osd crush create-or-move osd.2 1 root=default host=$HOST; ceph osd crush rm near; ceph osd pool rm $OP-r $OP-r --yes-i-really-really-mean-it" >/run/err 2>&1; }

# Reads go to replicas, writes do not, and what was written is read.
t_replica() {
	local POOL=$OP-r
	osd_apart
	host "ceph osd pool create $POOL 8 8 replicated --size 3 && rbd pool init $POOL && rbd create --image-feature layering --size 8 --object-size 1M $POOL/i
for t in \$(seq 120); do
	[ \$(ceph pg ls-by-pool $POOL 2>/dev/null | grep -c 'active+clean .*\[.,.,.\]p.* \[.,.,.\]p') = 8 ] && exit 0
	sleep 0.5
done; ceph pg ls-by-pool $POOL; exit 1" >/run/err 2>&1 ||
		fail "a pool of three copies: $(cat /run/err)"
	pattern p8 8
	map i read_from_replica=balance
	dd if="$PATTERN" of="$DEV" bs=1M oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	soon all_serve || fail "of 128 balanced reads the OSDs served ${N[*]}: $(host "ceph pg ls-by-pool $POOL; ceph osd tree")"
	# Just written, and perhaps not stable on the replica that is asked.
	fio_ --name=v --rw=randwrite --bs=4k --size=8M --io_size=2M --iodepth=8 --verify=crc32c --verify_backlog=8 --verify_fatal=1
	dd if="$PATTERN" of="$DEV" bs=1M oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	unmap
	map i read_from_replica=localize,crush_location=rack:none\|host:near
	awk '$1 == "osd2" { here = $NF } $1 == "osd0" { other = $NF } END { exit !(here == 1 && other == -1) }' "/sys/kernel/debug/ceph/$fsid.$(attr client_id)/osdmap" ||
		fail "localities: $(grep ^osd "/sys/kernel/debug/ceph/$fsid.$(attr client_id)/osdmap")"
	soon near_serves || fail "of 128 local reads the OSDs served ${N[*]}"
	unmap
	map i
	soon one_serves || fail "of 128 reads by the primary the OSDs served ${N[*]}"
	unmap
	undo
}

# An interval can be new though the OSDs are the same: a replica drops what was sent in the one before.
t_replica_interval() {
	[ "$DRIVER" = rust ] || skip 'the C driver does not send again what a replica dropped'
	local t
	img $OP 8 --object-size 256K
	pattern p8 8
	map $OP read_from_replica=balance
	dd if="$PATTERN" of="$DEV" bs=1M oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	at_end min_size_back
	rm -f /run/interval.stop
	(while [ ! -e /run/interval.stop ]; do fio_ --name=r --rw=randread --bs=4k --size=8M --iodepth=16; done) &
	t=$!
	host 'for n in $(seq 8); do for m in 2 1; do ceph osd pool set rbd min_size $m >/dev/null 2>&1; done; done'
	: >/run/interval.stop
	wait_for 60 eval "! kill -0 $t 2>/run/null" || fail "reads hang: $(cat /sys/kernel/debug/ceph/$fsid.$(attr client_id)/osdc)"
	wait $t || fail "reads: $(tail -n 3 /run/fio.out)"
	undo
	cmp "$DEV" "$PATTERN" || fail 'what is read differs'
	unmap
}
min_size_back() { host 'ceph osd pool set rbd min_size 1' >/run/null 2>&1; }

# The IP address that others see us under.
t_ip() {
	img $OP 4
	local own
	own=10.77.$GUEST_ID.2
	case $mon_addrs in *:*) own=[fd77:$GUEST_ID::2] ;; esac
	with "ip=$own"
	case $(attr client_addr) in "$own":*) ;; *) fail "client_addr is '$(attr client_addr)'" ;; esac
	unmap
}

# Connections of every mode.
t_ms_mode() {
	img $OP 4
	local m PROTO=v2
	for m in crc prefer-crc; do
		add_raw "$(monspec v2) name=admin,secret=$SECRET,ms_mode=$m rbd $OP" || fail "ms_mode=$m: $ERRNO"
		ID=$(mapped_ids)
		DEV=/dev/rbd$ID
		shown "ms_mode=$m" ms_mode
		dd if="$DEV" of=/dev/null bs=4k count=1 iflag=direct 2>/run/err || fail "read with ms_mode=$m"
		unmap
	done
	add_raw "$(monspec v1) name=admin,secret=$SECRET,ms_mode=legacy rbd $OP" || fail "ms_mode=legacy: $ERRNO"
	unmap "$(mapped_ids)"
}

# Of the device.
t_device() {
	img $OP 8 --object-size 1M
	with queue_depth=17,alloc_size=8192,compression_hint=compressible
	eq "$(q nr_requests)" 17 'nr_requests with queue_depth=17'
	eq "$(q minimum_io_size)" 8192 'minimum_io_size with alloc_size=8192'
	eq "$(q discard_granularity)" 8192 'discard_granularity with alloc_size=8192'
	case $(attr config_info) in *queue_depth=17,alloc_size=8192*) ;; *) fail "config_info is '$(attr config_info)'" ;; esac
	unmap
	# More than the block layer has tags for.
	with queue_depth=4294967295
	[ "$(q nr_requests)" -le 10240 ] || fail "nr_requests is $(q nr_requests) with queue_depth=4294967295"
	unmap
	with notrim,compression_hint=incompressible,rw
	eq "$(q discard_max_bytes)" 0 'discard_max_bytes with notrim'
	eq "$(blockdev --getro "$DEV")" 0 'read-only flag with rw'
	unmap
	with compression_hint=none
	unmap
	map $OP ro
	eq "$(blockdev --getro "$DEV")" 1 'read-only flag with ro'
	unmap
	map $OP read_only
	eq "$(blockdev --getro "$DEV")" 1 'read-only flag with read_only'
	unmap
	# The last one counts.
	with ro,read_write
	unmap
}

# Each of two clients that share nothing has its own identity.
t_noshare() {
	img $OP 4
	with ''
	local id=$ID
	with noshare
	[ "$(attr client_id)" != "$(attr client_id "$id")" ] || fail 'noshare shares a client'
	shown noshare noshare
	unmap
	unmap "$id"
}

# osd_request_timeout: requests that nobody answers fail.
t_request_timeout() {
	# What udev reads would have to time out first.
	quiet_udev
	img $OP 4
	with osd_request_timeout=10
	# The partition table has been read when something can be.
	dd if="$DEV" of=/dev/null bs=4k count=1 2>/run/err
	freeze osd
	local t=$SECONDS rc=0
	timeout 100 dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct 2>/run/err || rc=$?
	t=$((SECONDS - t))
	undo
	if [ $rc = 0 ]; then fail 'the write succeeded while no OSD answered'; fi
	if [ $rc = 124 ]; then fail 'the write did not end'; fi
	[ $t -ge 9 ] && [ $t -lt 50 ] || fail "the write failed after $t s"
	unmap || fail "unmap: $ERRNO"
}

# The locking ones want a feature of the image.
t_locking() {
	img opk 4
	local o
	for o in exclusive lock_on_read; do
		if map opk $o 2>/run/err; then fail "accepted without the feature: $o"; fi
		eq "$ERRNO" EINVAL "errno of $o without the feature"
	done
	image opl 4M --image-feature layering --image-feature exclusive-lock
	map opl exclusive,lock_timeout=30,lock_on_read
	eq "$(host 'rbd lock ls opl | grep -c client' || true)" 1 'lockers'
	unmap
}

# Through the tool, as a user would give them.
t_tool() {
	img $OP 4
	local dev
	dev=$(rbd map $OP -o queue_depth=32,ms_mode=prefer-crc,alloc_size=4096,noudev,abort_on_full) || fail 'rbd map -o'
	ID=${dev#/dev/rbd}
	eq "$(q nr_requests)" 32 'nr_requests'
	tool_unmap -o noudev "$dev" || fail 'rbd unmap -o noudev'
	dev=$(rbd map --read-only $OP) || fail 'rbd map --read-only'
	eq "$(blockdev --getro "$dev")" 1 'read-only flag'
	tool_unmap $OP || fail 'rbd unmap'
	dev=$(rbd map --options-from-nowhere $OP 2>/dev/null) && fail 'an unknown option of the tool'
	return 0
}

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Mapping and unmapping, by echo and by the stock tool, and the device's attributes.

t_echo() {
	img m1 64
	map m1
	eq "$(blockdev --getsize64 "$DEV")" $((64 << 20)) 'device size'
	eq "$(attr size)" $((64 << 20)) 'size'
	eq "$(attr name)" m1 name
	eq "$(attr pool)" rbd pool
	eq "$(attr current_snap)" - current_snap
	eq "$(attr features)" 0x0000000000000001 features
	unmap
	[ ! -e "$BUS/devices/$ID" ] || fail 'the device is still on the bus'
	[ ! -e "$DEV" ] || fail "$DEV is still there"
}

t_attributes() {
	img m2 32
	map m2
	local f
	for f in size features major minor client_addr client_id cluster_fsid config_info pool pool_id pool_ns name image_id current_snap snap_id parent; do
		[ -r "$BUS/devices/$ID/$f" ] || fail "attribute $f is missing"
		attr $f >/dev/null || fail "attribute $f cannot be read"
	done
	eq "$(attr cluster_fsid)" "$fsid" cluster_fsid
	eq "$(attr image_id)" "$(host "rbd info m2 --format json | python3 -c 'import json,sys; print(json.load(sys.stdin)[\"id\"])'")" image_id
	eq "$(attr pool_id)" "$(host "ceph osd pool ls detail -f json | python3 -c 'import json,sys; print(*(p[\"pool_id\"] for p in json.load(sys.stdin) if p[\"pool_name\"] == \"rbd\"))'")" pool_id
	eq "$(attr snap_id)" 18446744073709551614 snap_id
	eq "$(attr pool_ns)" '' pool_ns
	eq "$(attr parent)" '(no parent image)' parent
	eq "$(attr major):$(attr minor)" "$(($(stat -c 0x%t "$DEV"))):$(($(stat -c 0x%T "$DEV")))" 'device number'
	case $(attr client_id) in client[0-9]*) ;; *) fail "client_id is '$(attr client_id)'" ;; esac
	case $(attr client_addr) in 10.77.*:0/*|\[fd77:*\]:0/*) ;; *) fail "client_addr is '$(attr client_addr)'" ;; esac
	case $(attr config_info) in *' rbd m2 -') ;; *) fail "config_info is '$(attr config_info)'" ;; esac
	printf 1 >"$BUS/devices/$ID/refresh"
	eq "$(host "rbd status m2 --format json | grep -c client\\.")" 1 'watchers seen by the cluster'
}

t_tool() {
	img m3 32
	local dev
	dev=$(rbd map m3) || fail 'rbd map'
	[ -b "$dev" ] || fail "rbd map said '$dev'"
	rbd showmapped >/run/shown
	grep -qE "m3 .*$dev" /run/shown || fail "rbd showmapped: $(cat /run/shown)"
	[ "$(readlink -f /dev/rbd/rbd/m3)" = "$dev" ] || fail "/dev/rbd/rbd/m3 does not lead to $dev"
	grep -q '"name":"m3"' <<<"$(rbd device list --format json)" || fail 'rbd device list'
	tool_unmap /dev/rbd/rbd/m3 || fail 'rbd unmap'
	[ ! -e "$dev" ] || fail "$dev is still there"
}

t_msgr1() {
	img m4 32
	PROTO=v1 map m4
	eq "$(attr size)" $((32 << 20)) size
	blockdev --flushbufs "$DEV"
	unmap
}

t_readonly() {
	img m5 16
	map m5 ro
	eq "$(blockdev --getro "$DEV")" 1 'read-only flag'
	if dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct 2>/run/err; then fail 'a write to a read-only mapping succeeded'; fi
	unmap
}

# Flipping changes what the kernel takes, not what the mapping is.
t_readonly_flips() {
	img mr1 16
	map mr1
	blockdev --setro "$DEV"
	eq "$(blockdev --getro "$DEV")" 1 'flag after --setro'
	if dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct 2>/run/err; then fail 'a write after --setro succeeded'; fi
	grep -q 'Operation not permitted' /run/err || fail "a write after --setro: $(cat /run/err)"
	blockdev --setrw "$DEV"
	eq "$(blockdev --getro "$DEV")" 0 'flag after --setrw'
	dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct 2>/run/err || fail "a write after --setrw: $(cat /run/err)"
	unmap
	map mr1 ro
	# The flag of the mapping is beyond the reach of this one, which succeeds all the same.
	blockdev --setrw "$DEV" || fail '--setrw of a read-only mapping'
	eq "$(blockdev --getro "$DEV")" 1 'flag of a read-only mapping after --setrw'
	if dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct 2>/run/err; then fail 'a write to a read-only mapping succeeded'; fi
	grep -q 'Operation not permitted' /run/err || fail "a write to a read-only mapping: $(cat /run/err)"
	unmap
}

t_busy() {
	img m6 16
	map m6
	udevadm settle
	exec 7<"$DEV"
	if unmap_once; then fail 'an open device was unmapped'; fi
	eq "$ERRNO" EBUSY 'errno'
	exec 7<&-
	unmap || fail "not unmapped after close: $ERRNO"
}

t_force() {
	img m7 16
	map m7
	exec 7<"$DEV"
	unmap "$ID" force || fail "forced unmap: $ERRNO"
	exec 7<&-
	soon test ! -e "$BUS/devices/$ID" || fail 'the device is still on the bus'
}

t_bus_files() {
	local f
	for f in add remove add_single_major remove_single_major; do
		[ -e $BUS/$f ] || fail "$BUS/$f is not there"
	done
	case $(cat $BUS/supported_features) in 0x[0-9a-f]*) ;; *) fail "supported_features: $(cat $BUS/supported_features)" ;; esac
	eq "$(cat /sys/module/rbd/parameters/single_major)" Y 'single_major, when not given'
	img m8 16
	if add_raw "$(monspec v2) $(opts v2) rbd m8 -" add; then fail 'add works with single_major'; fi
	eq "$ERRNO" EINVAL 'errno of add with single_major'
	map m8
	if add_raw "$ID" remove; then fail 'remove works with single_major'; fi
	eq "$ERRNO" EINVAL 'errno of remove with single_major'
	eq "$(attr major)" "$(sed -n 's/ rbd$//p' /proc/devices | tr -d ' ')" 'the shared major'
	unmap
}

t_several() {
	local i ids=()
	for i in 1 2 3 4 5 6; do img s$i 16; done
	for i in 1 2 3; do
		map s$i
		ids+=("$ID")
	done
	eq "$(attr client_id "${ids[0]}")" "$(attr client_id "${ids[2]}")" 'equal configurations share a client: client_id'
	map s4 noshare
	ids+=("$ID")
	[ "$(attr client_id)" != "$(attr client_id "${ids[0]}")" ] || fail 'noshare shares a client'
	PROTO=v1 map s5
	ids+=("$ID")
	[ "$(attr client_id)" != "$(attr client_id "${ids[0]}")" ] || fail 'different ms_mode shares a client'
	map s6 queue_depth=16
	eq "$(attr client_id)" "$(attr client_id "${ids[0]}")" 'queue_depth is no matter of the client: client_id'
	ids+=("$ID")
	for i in "${ids[@]}"; do
		dd if=/dev/zero of="/dev/rbd$i" bs=64k count=2 oflag=direct 2>/run/err || fail "write to /dev/rbd$i"
	done
	for i in "${ids[@]}"; do unmap "$i" || fail "unmap $i: $ERRNO"; done
}

t_loop() {
	img l1 16
	local i rounds
	rounds=$(more 6)
	for ((i = 0; i < rounds; i++)); do
		map l1
		dd if="$DEV" of=/dev/null bs=4k count=1 iflag=direct 2>/run/err || fail "read in round $i"
		unmap || fail "unmap in round $i: $ERRNO"
	done
	eq "$(watchers l1)" 0 'watchers left behind'
}

t_debugfs() {
	img d1 16
	map d1
	local d f
	d=/sys/kernel/debug/ceph/$fsid.$(attr client_id)
	[ -d "$d" ] || fail "no directory below /sys/kernel/debug/ceph"
	for f in osdmap monmap monc osdc client_options; do
		cat "$d/$f" >/run/dbg || fail "$f cannot be read"
	done
	grep -q "^epoch [0-9]" "$d/osdmap" || grep -q 'epoch' "$d/osdmap" || fail 'osdmap shows no epoch'
	grep -q '6789\|3300' "$d/monmap" || fail 'monmap shows no address'
	unmap
	soon test ! -e "$d" || fail 'the directory outlives the client'
}

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Images as `rbd create` makes them: the object map and fast-diff, as librbd expects to find them.
. "$here/lock.sh"

# map_agrees IMAGE [SNAP]…   the object maps of the head and of snapshots are valid, the head's names just the objects that
# exist, and `rbd du` counts them
map_agrees() {
	local image=$1
	shift
	map_is_right "$image" "${@/#/$image@}"
	host "python3 - $image <<'PY'
import json, subprocess, sys
def run(*a): return subprocess.run(a, check=True, capture_output=True, text=True).stdout
image = sys.argv[1]
info = json.loads(run('rbd', 'info', '--format', 'json', image))
if info['flags']: sys.exit(f'flags {info[\"flags\"]}')
size, prefix = info['object_size'], info['block_name_prefix'] + '.'
there = sorted(int(o[len(prefix):], 16) for o in run('rados', '-p', 'rbd', 'ls').split() if o.startswith(prefix))
diff = json.loads(run('rbd', 'diff', '--whole-object', '--format', 'json', image))
named = sorted(n for d in diff if d['exists'] != 'false' for n in range(d['offset'] // size, (d['offset'] + d['length'] + size - 1) // size))
# What a snapshot alone still has is listed, too.
if info['snapshot_count']: there = [n for n in there if subprocess.run(('rados', '-p', 'rbd', 'stat', f'{prefix}{n:016x}'), capture_output=True).returncode == 0]
if not info.get('parent') and there != named: sys.exit(f'objects {there}, but rbd diff says {named}')
used = json.loads(run('rbd', 'du', '--format', 'json', '--exact', image))['images'][-1]['used_size']
quick = json.loads(run('rbd', 'du', '--format', 'json', image))['images'][-1]['used_size']
if quick < used: sys.exit(f'rbd du says {quick}, exactly {used}')
PY" >/run/agrees 2>&1 || fail "the object map of $image: $(tail -n 2 /run/agrees | tr '\n' ' ')"
}
# The objects that changed between snapshots, or up to the head, by the object maps.
changed() { # FROM IMAGE[@SNAP]
	host "rbd diff --whole-object ${1:+--from-snap $1} --format json $2 | python3 -c 'import json,sys
print(*sorted(n for d in json.load(sys.stdin) for n in range(d[\"offset\"] >> 16, (d[\"offset\"] + d[\"length\"] + 65535) >> 16)))'"
}

# No options, neither to create nor to map.
t_default() {
	image om1 4M
	model om1 4194304
	map om1
	eq "$(attr features)" 0x000000000000003d features
	put 4096 4096
	put $((4194304 - 8192)) 8192
	both_are om1 om1
	map_agrees om1
	unmap
	map_agrees om1
	rbd map om1 >/run/dev || fail 'rbd map'
	device_is om1 "$(</run/dev)"
	tool_unmap om1 || fail 'rbd unmap'
}

# Of a request's objects the last is known to be absent. What there is to ask for is sent at once: it does not wait for other traffic,
# of which there is some twice a minute.
t_part_absent() {
	local i
	image om20 1M --object-size 64K
	map om20 osdkeepalive=600
	write_at 0 || fail write
	for ((i = 0; i < 20; i++)); do
		timeout 20 dd if="$DEV" of=/run/read bs=64k count=1 skip=32k iflag=direct,skip_bytes 2>/run/err || fail "read: $(cat /run/err)"
		cmp -n 65536 /run/read /dev/zero || fail 'there is something in it'
	done
	blkdiscard -o 0 -l 131072 "$DEV" || fail discard
	unmap
	map_agrees om20
}

# Objects come and go; each time both sides see the same, while mapped.
t_objects() {
	image om2 2M --object-size 64K
	model om2 2097152
	map om2
	put 0 65536
	put $((65536 * 3 - 4096)) 8192
	put $((65536 * 10)) 262144
	map_agrees om2
	eq "$(changed '' om2)" '0 2 3 10 11 12 13' 'objects by the map'
	blkdiscard -o $((65536 * 10)) -l 131072 "$DEV" || fail discard
	model_zero $((65536 * 10)) 131072
	zero $((65536 * 3)) 65536
	put $((65536 * 20 + 8192)) 4096
	blkdiscard -o $((65536 * 25)) -l 65536 "$DEV" || fail 'discard of an object that does not exist'
	both_are om2 om2
	map_agrees om2
	eq "$(changed '' om2)" '0 2 12 13 20' 'objects by the map'
	put $((65536 * 10 + 512)) 512
	both_are om2 om2
	unmap
	map_agrees om2
	eq "$(changed '' om2)" '0 2 10 12 13 20' 'objects by the map, after unmapping'
}

# Many objects from many tasks.
t_verify() {
	image om3 16M --object-size 64K
	map om3
	fio_ --name=v --rw=randwrite --bs=4k --size=4M --offset_increment=4M --numjobs=4 --io_size="$(more 512)k" --iodepth=16 \
		--verify=crc32c --do_verify=1 --verify_fatal=1 --group_reporting
	map_agrees om3
	fio_ --name=w --rw=randtrimwrite --bs=64k --size=16M --io_size="$(more 6)M" --iodepth=8
	dd if="$DEV" bs=1M iflag=direct of=$LAB/data/seen 2>/run/err
	sync_host 'rbd export --no-progress om3 - | cmp - seen' || fail 'another client sees other data'
	map_agrees om3
	unmap
}

# The mapping vanishes in mid-write: what the map says stays safe to rely on.
t_vanished() {
	image om4 16M --object-size 64K
	map om4
	local addr
	addr=$(attr client_addr)
	fio --output-format=terse --ioengine=libaio --direct=1 --thread --filename="$DEV" --name=load --rw=randwrite --bs=4k --size=16M --iodepth=16 \
		--time_based --runtime=900 >/run/load.out 2>&1 &
	local load=$!
	soon eval '[ "$(writes_done)" -gt 20 ]' || fail 'fio writes nothing'
	host "ceph osd blocklist add $addr" || fail 'ceph osd blocklist add'
	soon eval "! kill -0 $load" 2>/dev/null || fail 'I/O of a blocklisted client does not end'
	if wait $load; then fail 'a blocklisted client wrote'; fi
	unmap || unmap "$ID" force || fail "unmap: $ERRNO"
	# What exists must be in the map; what is in the map need not exist.
	map_is_right om4
	host "python3 - <<'PY'
import json, subprocess, sys
def run(*a): return subprocess.run(a, check=True, capture_output=True, text=True).stdout
info = json.loads(run('rbd', 'info', '--format', 'json', 'om4'))
prefix = info['block_name_prefix'] + '.'
there = {int(o[len(prefix):], 16) for o in run('rados', '-p', 'rbd', 'ls').split() if o.startswith(prefix)}
named = {n for d in json.loads(run('rbd', 'diff', '--whole-object', '--format', 'json', 'om4')) for n in range(d['offset'] >> 16, (d['offset'] + d['length'] + 65535) >> 16)}
if info['flags'] or not there or there - named: sys.exit(f'flags {info[\"flags\"]}, objects that the map does not know: {there - named}')
print(len(there), 'objects,', len(named), 'in the map')
PY" >/run/agrees || fail "the object map after a crash: $(tail -n 2 /run/agrees | tr '\n' ' ')"
	cat /run/agrees
	map om4
	write_at 0 || fail "write by a new client: $(cat /run/err)"
	write_at $((65536 * 255)) || fail 'write at the end'
	unmap
	host_later "ceph osd blocklist rm $addr"
}

# A map that is known to be wrong is not trusted: an object that it denies is read all the same.
t_invalid() {
	image om5 2M --object-size 64K
	model om5 2097152
	local id
	id=$(host "rbd info om5 | sed -n 's/.*block_name_prefix: rbd_data.//p'")
	todo "dd if=$PATTERN_HOST of=m.om5 bs=64k count=1 seek=5 conv=notrunc status=none"
	sync_host "head -c 65536 $PATTERN_HOST | rados -p rbd put rbd_data.$id.0000000000000005 -; rbd object-map check --no-progress om5" >/run/err
	case $(flags_of om5) in *'object map invalid'*) ;; *) fail "flags are '$(flags_of om5)'" ;; esac
	map om5
	device_is om5
	put $((65536 * 7)) 4096
	put $((65536 * 5 + 4096)) 4096
	both_are om5 om5
	# Another client repairs it meanwhile.
	host 'rbd object-map rebuild --no-progress om5' || fail 'rbd object-map rebuild'
	put $((65536 * 9)) 4096
	both_are om5 om5
	unmap
	map_agrees om5
	eq "$(changed '' om5)" '5 7 9' 'objects by the map'
}

# No map where there should be one: flagged, and I/O goes on.
t_missing() {
	image om6 2M --object-size 64K
	model om6 2097152
	host "rados -p rbd rm rbd_object_map.\$(rbd info om6 | sed -n 's/.*block_name_prefix: rbd_data.//p')" || fail 'rados rm'
	if ! map om6 2>/run/err; then
		# The C driver will not map such an image.
		if [ "$DRIVER" = c ]; then eq "$ERRNO" ENOENT errno; return 0; fi
		fail "map: $ERRNO"
	fi
	put 8192 4096
	put $((65536 * 6)) 4096
	both_are om6 om6
	case $(flags_of om6) in *'object map invalid'*) ;; *) fail "flags are '$(flags_of om6)'" ;; esac
	unmap
	# Of a map that was missing, librbd makes one that has all objects, and takes none out of the head's: it may be in use.
	host 'rbd object-map rebuild --no-progress om6' || fail 'rbd object-map rebuild'
	map_is_right om6
}

# Snapshots by another client: content, and what changed between them.
t_snapshots() {
	image om7 1M --object-size 64K
	model om7 1048576
	map om7
	put 4096 4096
	put $((65536 * 4)) 65536
	sync_host 'rbd snap create --no-progress om7@s1'
	model_copy om7 om7s1
	put 8192 4096
	put $((65536 * 6 + 512)) 512
	sync_host 'rbd snap create --no-progress om7@s2'
	model_copy om7 om7s2
	put $((65536 * 4 + 4096)) 4096
	blkdiscard -o $((65536 * 6)) -l 65536 "$DEV" || fail discard
	model_zero $((65536 * 6)) 65536
	put $((65536 * 9)) 4096
	export_is om7 om7 om7@s1 om7s1 om7@s2 om7s2
	map_agrees om7 s1 s2
	eq "$(changed '' om7@s1)" '0 4' 'objects of the first snapshot'
	eq "$(changed s1 om7@s2)" '0 6' 'changed between the snapshots'
	eq "$(changed s2 om7)" '4 6 9' 'changed since the second'
	eq "$(changed s1 om7)" '0 4 9' 'changed since the first'
	host 'rbd snap rm --no-progress om7@s1' || fail 'rbd snap rm'
	put $((65536 * 11)) 4096
	export_is om7 om7 om7@s2 om7s2
	unmap
	map_agrees om7 s2
	eq "$(changed s2 om7)" '4 6 9 11' 'changed since the second, after unmapping'
}

# Another client takes the features away while it is mapped.
t_feature_disable() {
	image om8 1M --object-size 64K
	model om8 1048576
	map om8
	put 4096 4096
	host 'rbd feature disable om8 fast-diff object-map' || fail 'rbd feature disable'
	if [ "$DRIVER" = c ]; then skip 'the C driver fails all writes from here on'; fi
	put $((65536 * 3)) 8192
	both_are om8 om8
	unmap
	host 'rbd feature enable om8 object-map fast-diff && rbd object-map rebuild --no-progress om8' || fail 'rbd feature enable'
	map_agrees om8
}

# The map grows and shrinks with the image.
t_resize() {
	image om9 1M --object-size 64K
	model om9 1048576
	map om9
	put $((65536 * 15)) 65536
	sync_host 'rbd resize --no-progress --size 20M om9'
	model_size 20971520
	soon eval '[ "$(attr size)" = 20971520 ]' || fail "size is $(attr size) after growing"
	put $((20971520 - 4096)) 4096
	put $((65536 * 100)) 4096
	map_agrees om9
	sync_host 'rbd resize --no-progress --allow-shrink --size 1M om9'
	model_size 1048576
	soon eval '[ "$(attr size)" = 1048576 ]' || fail "size is $(attr size) after shrinking"
	put $((65536 * 2)) 4096
	both_are om9 om9
	map_agrees om9
	eq "$(changed '' om9)" '2 15' 'objects by the map'
	unmap
}

# A clone with everything on: copy-up below its snapshots, and their maps.
t_clone() {
	. "$here/clone.sh"
	parent_of om10p 524288
	child_of om10p om10 --image-feature layering,exclusive-lock,object-map,fast-diff,deep-flatten
	map om10
	put 4096 4096
	sync_host 'rbd snap create --no-progress om10@s1'
	model_copy om10 om10s1
	put 65536 4096
	zero 131072 65536
	put $((262144 + 4096)) 4096
	both_are om10 om10
	export_is om10@s1 om10s1
	map_agrees om10 s1
	host 'rbd flatten --no-progress om10' || fail 'rbd flatten'
	put $((458752 + 4096)) 4096
	both_are om10 om10
	export_is om10@s1 om10s1
	map_agrees om10 s1
	unmap
}

# Writers and discards at the same objects: however they meet, the map is right afterwards.
t_together() {
	image om11 1M --object-size 64K
	source_pattern
	map om11
	local n i pids=()
	for ((n = 0; n < 3; n++)); do
		fio --output-format=terse --ioengine=libaio --direct=1 --thread --filename="$DEV" --name="t$n" --rw=randwrite --bs=4k --size=256k --iodepth=4 \
			--time_based --runtime="$(more 12)" --randseed=$n >"/run/fio.$n" 2>&1 &
		pids+=($!)
	done
	fio --output-format=terse --ioengine=libaio --direct=1 --thread --filename="$DEV" --name=trim --rw=randtrim --bs=64k --size=256k --iodepth=2 \
		--time_based --runtime="$(more 12)" >/run/fio.trim 2>&1 &
	pids+=($!)
	for i in "${pids[@]}"; do wait "$i" || fail "fio: $(tail -n1 /run/fio.*)"; done
	dd if="$DEV" bs=1M iflag=direct of=$LAB/data/seen 2>/run/err
	sync_host 'rbd export --no-progress om11 - | cmp - seen' || fail 'another client sees other data'
	map_agrees om11
	eq "$(flags_of om11)" '' flags
	# Every object can still be made and removed.
	dd if="$PATTERN" of="$DEV" bs=64k count=16 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	blkdiscard -o 0 -l 524288 "$DEV" || fail discard
	map_agrees om11
	eq "$(changed '' om11)" '8 9 10 11 12 13 14 15' 'objects by the map'
	unmap
}

# map_object   the object that keeps the head's map
map_object() { echo "rbd_object_map.$(attr image_id)"; }

# An operator breaks the lock of the map itself. Updates are refused from then on, and so is what would need them: the map stays right.
t_map_lock_broken() {
	image om12 2M --object-size 64K
	source_pattern
	map om12
	dd if="$PATTERN" of="$DEV" bs=64k count=2 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	host "python3 -c '
import json, subprocess
o = \"$(map_object)\"
def run(*a): return subprocess.run((\"rados\", \"-p\", \"rbd\", \"lock\") + a, check=True, capture_output=True, text=True).stdout
for l in json.loads(run(\"info\", o, \"rbd_lock\", \"--format\", \"json\"))[\"lockers\"]: run(\"break\", o, \"rbd_lock\", l[\"name\"], \"--lock-cookie\", l[\"cookie\"])
print(run(\"info\", o, \"rbd_lock\", \"--format\", \"json\"))
'" >/run/broken 2>&1 || fail "rados lock break: $(tail -n1 /run/broken)"
	# To an object that is there and dirty: the map need not be told.
	dd if="$PATTERN" of="$DEV" bs=4k count=1 oflag=direct 2>/run/err || fail "write to an object that is there: $(cat /run/err)"
	timeout 150 dd if="$PATTERN" of="$DEV" bs=64k count=1 seek=20 oflag=direct 2>/run/err || [ $? != 124 ] || fail 'a write hangs'
	echo "a new object: $(tail -n1 /run/err)"
	case $(flags_of om12) in
	'') host 'rbd diff --whole-object om12 | wc -l; rados -p rbd ls | grep -c '"rbd_data.$(attr image_id)" >/run/counts
		[ "$(sed -n 1p /run/counts)" -gt "$(sed -n 2p /run/counts)" ] || fail "an object is missing in the map: $(tr '\n' ' ' </run/counts)" ;;
	*'object map invalid'*) echo 'flagged invalid' ;;
	esac
	unmap || fail "unmap: $ERRNO"
	map om12
	dd if="$PATTERN" of="$DEV" bs=64k count=1 seek=22 oflag=direct 2>/run/err || fail "write after mapping again: $(cat /run/err)"
	unmap
	host 'rbd object-map rebuild --no-progress om12' || fail 'rbd object-map rebuild'
	map_agrees om12
}

# The map is deleted, then overwritten with garbage, while it is used: flagged, and I/O goes on; a rebuild brings it back.
t_map_damaged() {
	image om13 2M --object-size 64K
	model om13 2097152
	map om13
	put 0 65536
	host "rados -p rbd rm $(map_object)" || fail 'rados rm'
	if [ "$DRIVER" = c ]; then
		# librbd flags the map and goes on.
		if dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct,seek_bytes seek=$((65536 * 4)) 2>/run/err; then fail 'the C driver wrote'; fi
		skip 'the C driver fails all writes from here on'
	fi
	put $((65536 * 4)) 4096
	put $((65536 * 5)) 65536
	blkdiscard -o 0 -l 65536 "$DEV" || fail discard
	model_zero 0 65536
	both_are om13 om13
	case $(flags_of om13) in *'object map invalid'*) ;; *) fail "flags are '$(flags_of om13)'" ;; esac
	host 'rbd object-map rebuild --no-progress om13' || fail 'rbd object-map rebuild'
	put $((65536 * 7)) 4096
	unmap
	host "head -c 100 $PATTERN_HOST | rados -p rbd put rbd_object_map.\$(rbd info om13 | sed -n 's/.*block_name_prefix: rbd_data.//p') -" || fail 'rados put'
	map om13 || fail "map: $ERRNO"
	put $((65536 * 9)) 4096
	both_are om13 om13
	case $(flags_of om13) in *'object map invalid'*) ;; *) fail "flags are '$(flags_of om13)'" ;; esac
	unmap
}

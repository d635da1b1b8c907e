# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Where data is placed, and images of extreme sizes.

# written NAME POOL[/NS] MODEL   a few writes, seen from both sides; the data objects are in the pool named
written() {
	put 4096 4096
	put $((262144 - 4096)) 8192
	put $((524288 + 65536)) 131072
	zero $((524288 + 131072)) 16384
	both_are "$3" "$1"
	eq "$(objects "$2" "$(attr image_id)")" '0 1 2' 'data objects'
}

t_replicated() {
	host 'ceph osd pool create datap 8 8; rbd pool init datap' >/dev/null 2>&1
	image pl1 1M --object-size 256K --data-pool datap
	model pl1 1048576
	map pl1
	eq "$(attr pool)" rbd pool
	written pl1 datap pl1
	eq "$(objects rbd "$(attr image_id)")" '' 'data objects in the pool of the header'
	unmap
}

# Erasure-coded, with overwrites. The monitor wants bluestore for that, or to be told that this is a test.
t_erasure_coded() {
	host "ceph tell mon.a config set mon_debug_no_require_bluestore_for_ec_overwrites true
ceph osd erasure-code-profile set ec21 k=2 m=1 crush-failure-domain=osd
ceph osd pool create ecp 8 8 erasure ec21 && ceph osd pool set ecp allow_ec_overwrites true && ceph osd pool application enable ecp rbd" >/run/err 2>&1 ||
		fail "making an erasure-coded pool: $(tail -n1 /run/err)"
	image pl2 1M --object-size 256K --data-pool ecp
	model pl2 1048576
	map pl2
	written pl2 ecp pl2
	sync_host 'rbd snap create --no-progress pl2@s'
	model_copy pl2 pl2s
	put 8192 512
	put $((786432 + 512)) 1024
	export_is pl2 pl2 pl2@s pl2s
	unmap
	# A clone of it, with its data elsewhere.
	model_copy pl2s pl2c
	MODEL=pl2c
	sync_host 'rbd snap protect pl2@s; rbd clone --data-pool rbd --object-size 256K pl2@s pl2c'
	IMAGES+=(pl2c)
	map pl2c
	put $((262144 + 4096)) 4096
	both_are pl2c pl2c
	unmap
}

t_namespace() {
	host 'rbd namespace create rbd/space 2>/dev/null; rbd namespace create rbd/other 2>/dev/null'
	image rbd/space/pl3 1M --object-size 256K
	image rbd/other/pl3 1M --object-size 256K
	model pl3 1048576
	map pl3 _pool_ns=space
	eq "$(attr pool_ns)" space pool_ns
	written rbd/space/pl3 rbd/space pl3
	unmap
	rbd map rbd/space/pl3 >/run/dev || fail 'rbd map of an image in a namespace'
	device_is pl3 "$(</run/dev)"
	[ -b /dev/rbd/rbd/space/pl3 ] || fail 'no link in /dev/rbd/rbd/space'
	tool_unmap "$(</run/dev)"
	# The one of the same name is another image.
	map pl3 _pool_ns=other
	cmp -n 1048576 "$DEV" /dev/zero || fail 'the namespaces are not kept apart'
	unmap
	if map pl3 _pool_ns=nosuch 2>/run/err; then fail 'mapped from a namespace that does not exist'; fi
	eq "$ERRNO" ENOENT 'errno for a missing namespace'
}

# The pool is deleted: what was there does not read as zeroes.
t_deleted() {
	[ "$DRIVER" = rust ] || skip 'the C driver reads zeroes'
	at_end "host 'ceph osd pool rm gone gone --yes-i-really-really-mean-it'"
	host 'ceph osd pool create gone 8 8; rbd pool init gone; rbd create --size 4 --object-size 1M --image-feature layering gone/pl8' >/run/err 2>&1 ||
		fail "making the pool: $(tail -n1 /run/err)"
	add_raw "$(monspec $PROTO) $(opts $PROTO) gone pl8 -" || fail "map: $ERRNO"
	ID=$(mapped_ids) DEV=/dev/rbd$(mapped_ids)
	dd if=/dev/zero of="$DEV" bs=1M count=4 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	udevadm settle
	undo
	soon eval '! dd if="$DEV" of=/run/null bs=64k count=1 iflag=direct 2>/run/err' || fail 'a pool that is gone is read'
	if blkdiscard -o 0 -l 1048576 "$DEV" 2>/run/err; then fail 'discard in a pool that is gone'; fi
	unmap || fail "unmap: $ERRNO"
}

# Snapshots in the trash and in groups, and linked clones: an image with the feature `operations`.
t_operations() {
	image pl4 1M --object-size 256K
	model pl4 1048576
	sync_host 'rbd group create g4; rbd group image add g4 pl4; rbd group snap create g4@gs; rbd snap create --no-progress pl4@s
rbd clone --rbd-default-clone-format 2 pl4@s pl4c; rbd snap rm --no-progress pl4@s' || fail 'making snapshots'
	IMAGES+=(pl4c)
	case $(host rbd info pl4) in *operations*) ;; *) fail 'the image does not have the feature' ;; esac
	map pl4
	written pl4 rbd pl4
	unmap
	host_later 'rbd rm --no-progress pl4c; rbd group snap rm g4@gs; rbd group rm g4'
}

# far NAME SIZE_IN_BYTES [OPTIONS]   writes at the end and elsewhere in a huge image, seen by librbd at the same offsets
far() {
	local name=$1 size=$2 at free
	shift 2
	free=$(sed -n 's/^MemFree: *\([0-9]*\).*/\1/p' /proc/meminfo)
	image "$name" "${size}B" "$@"
	# `rbd rm` would look at each of the objects that there might be, for minutes or hours.
	IMAGES=()
	source_pattern
	map "$name"
	eq "$(blockdev --getsize64 "$DEV")" "$size" 'device size'
	echo "free memory before and after mapping: $free $(sed -n 's/^MemFree: *\([0-9]*\).*/\1/p' /proc/meminfo) KiB"
	for at in $((size - 65536)) $((size / 2 - 32768)) 0; do
		dd if="$PATTERN" of="$DEV" bs=64k count=1 oflag=direct,seek_bytes seek=$at 2>/run/err || fail "write at $at: $(cat /run/err)"
		dd if="$DEV" bs=64k count=1 iflag=direct,skip_bytes skip=$at 2>/run/err | cmp -n 65536 - "$PATTERN" || fail "read at $at differs"
	done
	dd if="$DEV" bs=64k count=1 iflag=direct,skip_bytes skip=$((size / 4)) 2>/run/err | cmp -n 65536 - /dev/zero || fail 'a hole does not read as zeroes'
	blkdiscard -o 0 -l $((size / 1048576 > 64 ? 67108864 : size)) "$DEV" || fail discard
	host "cd $DATA; python3 -c '
import rados, rbd
with rados.Rados(conffile=\"/etc/ceph/ceph.conf\") as c, c.open_ioctx(\"rbd\") as io, rbd.Image(io, \"$name\") as i:
    want = open(\"source\", \"rb\").read(65536)
    assert i.read(i.size() - 65536, 65536) == want, \"end\"
    assert i.read(i.size() // 2 - 32768, 65536) == want, \"middle\"
    assert i.read(0, 65536) == bytes(65536), \"beginning\"
'" >/run/err || fail "librbd: $(tail -n1 /run/err)"
	if dd if="$PATTERN" of="$DEV" bs=8k count=1 oflag=direct,seek_bytes seek=$((size - 4096)) 2>/run/err; then fail 'a write across the end succeeded whole'; fi
	eq "$(flags_of "$name")" '' flags
	at=$(attr image_id)
	unmap
	host_later "for o in rbd_object_map.$at \$(rados -p rbd ls | grep 'rbd_data.$at'); do rados -p rbd rm \$o; done"
}
t_20t() { far pl5 21990232555520; }
t_4p() { far pl6 4503599627370496 --image-feature layering --object-size 32M; }
# As many objects as librbd gives a map: 256,000,000, of two bits each. One more it refuses, as it does for us.
t_many_objects() {
	far pl8 $((256000000 * 4194304))
	if host "rbd create --size $((256000001 * 4194304))B pl9" >/run/err 2>&1; then fail 'librbd makes a map for more objects'; fi
	grep -q 'object map' /run/err || fail "rbd create: $(tail -n1 /run/err)"
	far pl9 $((256000001 * 4194304)) --image-feature layering,exclusive-lock
}

# The end of an image is a multiple of nothing.
t_odd() {
	image pl7 $((10485760 + 512))B --object-size 1M
	model pl7 $((10485760 + 512))
	map pl7
	put 10485760 512
	put $((10485760 - 4096)) 4608
	put $((1048576 - 512)) 1024
	both_are pl7 pl7
	sync_host "rbd resize --no-progress --size $((10485760 + 3 * 512))B pl7"
	model_size $((10485760 + 3 * 512))
	soon eval '[ "$(attr size)" = 10487296 ]' || fail "size is $(attr size) after growing"
	put $((10485760 + 1024)) 512
	both_are pl7 pl7
	unmap
}

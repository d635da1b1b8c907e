# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Layering: reads fall through to the parent, writes copy up, and what others do to parent and child while it is mapped.

# parent_of NAME BYTES [OPTIONS OF rbd import]   a parent of 64 KiB objects with a snapshot `base`: random bytes and a
# hole, objects 4 to 7, that has no objects. Its model: NAME
parent_of() {
	local name=$1 bytes=$2
	shift 2
	model "${name##*/}" "$bytes" pattern
	model_zero 262144 262144
	# One of that name may still be being removed, for the test before this one.
	sync_host "for t in \$(seq 20); do rbd info $name >/dev/null 2>&1 || break; sleep 3; done
rbd import --no-progress --image-feature layering --object-size 64K $* m.${name##*/} $name
rbd snap create --no-progress $name@base; rbd snap protect $name@base" || fail "making the parent $name"
	IMAGES+=("$name")
}
# child_of PARENT CHILD [OPTIONS OF rbd clone]   its model starts as the parent's
child_of() {
	local parent=$1 child=$2
	shift 2
	model_copy "${parent##*/}" "${child##*/}"
	MODEL=${child##*/}
	case " $* " in *\ --image-feature\ *) ;; *) set -- --image-feature layering "$@" ;; esac
	sync_host "rbd clone --object-size 64K $* $parent@base $child" || fail "rbd clone $child"
	IMAGES+=("$child")
}
parent_attr() { attr parent | sed -n "s/^$1 //p"; }

# Writes of every kind, and which objects they make.
basic() { # FORMAT
	parent_of c1p 1048576
	child_of c1p c1 --rbd-default-clone-format "$1"
	map c1
	eq "$(parent_attr pool_name)" rbd 'pool_name in parent'
	eq "$(parent_attr image_name)" c1p 'image_name in parent'
	eq "$(parent_attr snap_name)" base 'snap_name in parent'
	eq "$(parent_attr overlap)" 1048576 'overlap in parent'
	device_is c1
	put 4096 4096                # inside an object
	put $((131072 - 512)) 1024   # across two objects
	put $((327680 + 8192)) 4096  # where the parent has a hole
	put $((589824)) 65536        # an object, whole
	put $((720896 - 4096)) 139264 # part, two whole, part
	both_are c1 c1
	eq "$(objects rbd "$(attr image_id)")" '0 1 2 5 9 10 11 12 13' 'objects of the child'
	unmap
	export_is c1p c1p
}
t_v1() { basic 1; }
t_v2() { basic 2; }

# A clone of a clone, each in another pool or namespace.
t_chain() {
	host 'ceph osd pool create clones 8 8 2>/dev/null; rbd pool init clones; rbd namespace create clones/n1; rbd namespace create rbd/n2' || fail 'making pools'
	parent_of c2p 524288
	child_of c2p clones/n1/c2m --rbd-default-clone-format 2
	sync_host "dd if=$PATTERN_HOST bs=64k count=1 skip=99 of=piece status=none
dd if=piece of=m.c2m bs=64k seek=2 conv=notrunc status=none
dd if=piece of=m.c2m bs=64k seek=5 conv=notrunc status=none
python3 -c \"
import rados, rbd
with rados.Rados(conffile='/etc/ceph/ceph.conf') as c, c.open_ioctx('clones') as io:
    io.set_namespace('n1')
    with rbd.Image(io, 'c2m') as i:
        for n in 2, 5: i.write(open('piece', 'rb').read(), n << 16)
\"
rbd snap create --no-progress clones/n1/c2m@base; rbd snap protect clones/n1/c2m@base" || fail 'writing to the clone in the middle'
	child_of clones/n1/c2m rbd/n2/c2 --rbd-default-clone-format 2
	map c2 _pool_ns=n2
	eq "$(attr pool_ns)" n2 pool_ns
	eq "$(parent_attr pool_ns)" n1 'pool_ns in parent'
	eq "$(attr parent | grep '^image_name' | tr '\n' ' ')" 'image_name c2m image_name c2p ' 'the chain of parents'
	device_is c2
	put 8192 4096                 # from the grandparent
	put $((131072 + 4096)) 8192   # from the parent
	put $((327680 - 4096)) 8192   # a hole in the one, bytes in the other
	both_are c2 rbd/n2/c2
	eq "$(objects rbd/n2 "$(attr image_id)")" '0 2 4 5' 'objects of the child'
	unmap
	export_is clones/n1/c2m c2m c2p c2p
}

# The overlap follows the child when it shrinks, and stays when it grows again. The end is no multiple of anything.
t_overlap() {
	parent_of c3p 1048576
	child_of c3p c3
	map c3
	put $((851968 + 4096)) 4096
	sync_host "rbd resize --no-progress --allow-shrink --size $((589824 + 20480 + 512))B c3"
	model_size $((589824 + 20992))
	soon eval '[ "$(attr size)" = 610816 ]' || fail "size is $(attr size) after shrinking"
	eq "$(parent_attr overlap)" 610816 'overlap after shrinking'
	device_is c3
	sync_host 'rbd resize --no-progress --size 1M c3'
	model_size 1048576
	soon eval '[ "$(attr size)" = 1048576 ]' || fail "size is $(attr size) after growing"
	eq "$(parent_attr overlap)" 610816 'overlap after growing'
	both_are c3 c3
	put $((589824 + 4096)) 4096   # copies up the part that overlaps
	put $((655360 + 4096)) 4096   # nothing to copy
	put $((851968 + 8192)) 4096
	both_are c3 c3
	eq "$(objects_sizes rbd "$(attr image_id)")" '9:20992 10:8192 13:12288' 'objects of the child and their sizes'
	unmap
}

# The parent is shorter than the child, and ends inside an object.
t_short_parent() {
	parent_of c4p $((589824 + 1536))
	child_of c4p c4
	sync_host 'rbd resize --no-progress --size 1M c4'
	model_size 1048576
	map c4
	device_is c4
	put $((589824 + 512)) 512
	put $((589824 + 8192)) 4096
	put $((786432)) 4096
	put 0 512
	both_are c4 c4
	unmap
	export_is c4p c4p
}

# Objects of another size than the parent's, and a parent and a child in stripes.
t_other_layout() {
	parent_of c5p 1048576 --stripe-unit 16K --stripe-count 3
	model_copy c5p c5
	MODEL=c5
	sync_host 'rbd clone --image-feature layering --object-size 128K --stripe-unit 8K --stripe-count 5 c5p@base c5'
	IMAGES+=(c5)
	map c5
	device_is c5
	put 4096 4096
	put $((40960 - 512)) 1024
	put $((262144 - 65536)) 131072
	zero $((655360 + 4096)) 65536
	both_are c5 c5
	unmap
	export_is c5p c5p
}

# Snapshots of the child taken before an object is copied up keep what the parent has, also once it is gone.
t_snapshots() {
	parent_of c6p 524288
	child_of c6p c6 --image-feature layering --image-feature deep-flatten
	map c6
	put 4096 4096
	sync_host 'rbd snap create --no-progress c6@s1'
	model_copy c6 c6s1
	put 8192 4096
	put $((65536 + 4096)) 4096
	put $((262144 + 4096)) 4096
	sync_host 'rbd snap create --no-progress c6@s2'
	model_copy c6 c6s2
	put $((131072 - 4096)) 8192
	put $((196608)) 65536
	export_is c6 c6 c6@s1 c6s1 c6@s2 c6s2 c6p c6p
	device_is c6
	sync_host 'rbd flatten --no-progress c6; rbd snap unprotect c6p@base; rbd snap purge --no-progress c6p; rbd rm --no-progress c6p'
	soon eval '[ "$(attr parent)" = "(no parent image)" ]' || fail "parent is $(attr parent | head -n1) after flattening"
	export_is c6 c6 c6@s1 c6s1 c6@s2 c6s2
	put $((458752 + 4096)) 4096
	both_are c6 c6
	unmap
	map c6 '' s1
	device_is c6s1
	unmap
}

# A snapshot of a clone, mapped: read-only, and through it the parent.
t_snapshot_mapped() {
	parent_of c7p 524288
	child_of c7p c7
	map c7
	put 4096 4096
	sync_host 'rbd snap create --no-progress c7@s'
	model_copy c7 c7s
	put 65536 65536
	local head=$ID head_dev=$DEV
	map c7 '' s
	eq "$(parent_attr image_name)" c7p 'parent of the snapshot'
	device_is c7s
	DEV=$head_dev
	put 131072 4096
	device_is c7s "/dev/rbd$ID"
	if dd if=/dev/zero of="/dev/rbd$ID" bs=4k count=1 oflag=direct 2>/run/err; then fail 'a snapshot was written to'; fi
	unmap
	unmap "$head"
	export_is c7 c7 c7@s c7s
}

# `rbd flatten` under verified I/O.
flatten() { # FEATURES
	parent_of c8p 4194304
	child_of c8p c8 $1
	map c8
	work_begin --size=4M --iodepth=8 --rate_iops=60
	host 'rbd flatten --no-progress c8' || fail 'rbd flatten'
	work_end
	soon eval '[ "$(attr parent)" = "(no parent image)" ]' || fail "parent is $(attr parent | head -n1) after flattening"
	# Where fio wrote nothing, the parent's bytes are still there; the rest as both sides see it.
	dd if="$DEV" bs=1M iflag=direct of=$LAB/data/seen 2>/run/err
	sync_host "rbd export --no-progress c8 - | cmp - seen
python3 -c \"
seen, was, n = open('seen', 'rb').read(), open('m.c8', 'rb').read(), 0
for at in range(0, len(was), 4096):
    if seen[at:at + 4096] == was[at:at + 4096]: n += 1
    elif seen[at:at + 2] != b'\\xca\\xac': raise SystemExit(f'neither the parent\\'s nor written: {at}')
print(n, 'blocks of the parent')
\"" >/run/err || fail "content after flattening: $(tail -n1 /run/err)"
	unmap
}
t_flatten() { flatten ''; }
t_flatten_locked() { flatten '--image-feature layering --image-feature exclusive-lock --image-feature object-map --image-feature deep-flatten'; }

# The parent goes away while the child is mapped.
t_parent_removed() {
	parent_of c9p 524288
	child_of c9p c9 --rbd-default-clone-format 2
	map c9
	put 4096 4096
	sync_host 'rbd flatten --no-progress c9; rbd snap unprotect c9p@base; rbd snap purge --no-progress c9p; rbd rm --no-progress c9p'
	put $((131072 + 4096)) 4096
	put $((262144 + 4096)) 4096
	both_are c9 c9
	eq "$(attr parent)" '(no parent image)' parent
	unmap
	map c9
	device_is c9
	unmap
}

# Zero-out hides the parent's bytes, in whole objects and in parts. Discard may, or leave them: it is a hint.
t_discard() {
	parent_of c10p 1048576
	child_of c10p c10
	map c10
	zero 65536 65536              # an object
	zero $((131072 + 4096)) 8192  # inside
	zero $((196608 + 32768)) 32768 # a tail
	zero $((327680)) 65536        # where the parent has a hole
	put $((524288 + 4096)) 4096
	zero 524288 65536             # an object that was copied up
	both_are c10 c10
	objects_sizes rbd "$(attr image_id)" >/run/objects1
	blkdiscard -o 655360 -l 65536 "$DEV" || fail 'discard of an object'
	blkdiscard -o $((720896 + 4096)) -l 4096 "$DEV" || fail 'discard inside of an object'
	blkdiscard -o 524288 -l 65536 "$DEV" || fail 'discard of an object of the child'
	dd if="$DEV" bs=1M iflag=direct of=$LAB/data/seen 2>/run/err
	zero_or_old c10 c10
	echo "objects after zero-out: $(</run/objects1); after discard: $(objects_sizes rbd "$(attr image_id)")"
	unmap
	export_is c10p c10p
}

# Many tasks make the same objects be copied up at the same time.
t_together() {
	parent_of c11p 2097152
	child_of c11p c11
	map c11
	fio_ --name=t --rw=randwrite --bs=4k --size=512k --offset_increment=512k --numjobs=4 --io_size="$(more 512)k" --iodepth=16 \
		--verify=crc32c --do_verify=1 --verify_fatal=1 --group_reporting
	dd if="$DEV" bs=1M iflag=direct of=$LAB/data/seen 2>/run/err
	sync_host 'rbd export --no-progress c11 - | cmp - seen' || fail 'another client sees other data'
	unmap
	export_is c11p c11p
}

# What reads the parent can be seen, and so can what reads that one's.
t_requests_of_ancestors() {
	[ "$DRIVER" = rust ] || skip 'the C driver shows no requests'
	quiet_udev
	parent_of c30p 524288
	child_of c30p c30m
	host 'rbd snap create --no-progress c30m@base; rbd snap protect c30m@base' || fail 'a snapshot of the child'
	child_of c30m c30 --image-feature layering --image-feature exclusive-lock --image-feature object-map
	map c30 noshare
	# With the lock the object map is known, and with that which objects are the parent's.
	put 458752 512
	freeze osd
	dd if="$DEV" of=/run/read bs=4k count=1 iflag=direct 2>/run/err &
	local read=$!
	# A line for the read, and one for what it waits for.
	soon eval 'cat "/sys/kernel/debug/rbd/$ID/requests" >/run/requests; [ "$(wc -l </run/requests)" -ge 2 ]' || true
	sleep 1
	cat "/sys/kernel/debug/rbd/$ID/requests" >/run/requests
	undo
	wait $read || fail "read: $(cat /run/err)"
	grep -q "^rbd_data\.$(attr image_id)\.0000000000000000	.*	read-parent	" /run/requests && [ "$(grep -c '	read	' /run/requests)" = 1 ] &&
		[ "$(wc -l </run/requests)" = 2 ] || fail "debugfs shows: $(cat /run/requests)"
	both_are c30 c30
	unmap
}

# A clone's parent is flattened, and what that was a clone of removed, of which we are not told. What the removed one hid of its own
# parent does not show, and nothing is copied up from there.
ancestor_removed() { # REMOVAL OPTIONS
	local removal=$1
	parent_of c31p 524288
	# Objects 0 to 2 of that are hidden, and 3 is another.
	child_of c31p c31q
	model_zero 0 196608
	sync_host "dd if=$PATTERN_HOST bs=64k count=1 skip=99 of=piece status=none
dd if=piece of=m.c31q bs=64k seek=3 conv=notrunc status=none
python3 -c \"
import rados, rbd
with rados.Rados(conffile='/etc/ceph/ceph.conf') as c, c.open_ioctx('rbd') as io:
    with rbd.Image(io, 'c31q') as i:
        i.write_zeroes(0, 3 << 16)
        i.write(open('piece', 'rb').read(), 3 << 16)
\"
rbd snap create --no-progress c31q@base; rbd snap protect c31q@base
rbd bench --io-type write --io-size 64K --io-total 128K --io-pattern seq c31q >/dev/null" || fail 'writing to the image that will go'
	child_of c31q c31m --image-feature layering --image-feature deep-flatten --rbd-default-clone-format 2
	sync_host 'rbd snap create --no-progress c31m@base; rbd snap protect c31m@base'
	child_of c31m c31 --rbd-default-clone-format 2
	map c31 "${@:2}"
	eq "$(attr parent | grep -c ^image_name)" 3 'ancestors'
	sync_host "$removal"
	device_is c31
	eq "$(attr parent | grep '^image_name')" 'image_name c31m' 'the ancestors that are left'
}
t_ancestor_removed() {
	[ "$DRIVER" = rust ] || skip 'the C driver shows what the removed image hid'
	ancestor_removed 'rbd flatten --no-progress c31m; rbd snap unprotect c31q@base; rbd snap rm --no-progress c31q@base; rbd rm --no-progress c31q'
	put 4096 4096
	put $((196608 + 4096)) 4096
	put $((262144 + 4096)) 4096
	both_are c31 c31
	unmap
}
# From the trash, and without a watch.
t_ancestor_removed_ro() {
	[ "$DRIVER" = rust ] || skip 'the C driver shows what the removed image hid'
	ancestor_removed 'rbd snap unprotect c31q@base; rbd snap rm --no-progress c31q@base
rbd rm --no-progress --rbd-move-parent-to-trash-on-remove=true c31q; rbd trash ls | grep c31q; rbd flatten --no-progress c31m
! rbd trash ls | grep c31q' ro
	unmap
}

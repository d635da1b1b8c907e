# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Stripes of any unit and count, and objects of any size.

# striped NAME BYTES MAP_OPTIONS OPTIONS OF rbd create
striped() {
	local name=$1 bytes=$2 options=$3
	shift 3
	image "$name" "${bytes}B" --image-feature layering "$@"
	model "$name" "$bytes"
	map "$name" "$options"
	fio_ --name=v --rw=randwrite --bsrange=512-96k --bs_unaligned=0 --blockalign=512 --size="$bytes" --io_size="$(more 1000)k" --iodepth=8 \
		--verify=crc32c --do_verify=1 --verify_fatal=1
	dd if="$DEV" bs=786432 iflag=direct of=$LAB/data/seen 2>/run/err
	todo "cp seen m.$name"
	export_is "$name" "$name"
}

t_64k_3() {
	striped st1 6291456 '' --object-size 1M --stripe-unit 64K --stripe-count 3
	put $((65536 * 3 - 512)) 1024    # from the last stripe unit of a row to the first of the next
	put $((65536 * 5 - 4096)) 262144 # several units of every object
	put $((3145728 - 65536)) 131072  # into the next object set
	zero $((65536 * 6)) $((65536 * 4))
	both_are st1 st1
	unmap
}
t_4k_8() {
	striped st2 $((1048576 + 12800)) '' --object-size 64K --stripe-unit 4K --stripe-count 8
	put $((524288 - 2048)) 4096
	put $((1048576 + 12288)) 512     # the last sector
	put 0 1048576
	both_are st2 st2
	unmap
}
# One object set, of which discard leaves nothing.
t_discard() {
	image st3 6M --image-feature layering --object-size 1M --stripe-unit 64K --stripe-count 3
	model st3 6291456 pattern
	sync_host "rbd rm --no-progress st3; rbd import --no-progress --image-feature layering --object-size 1M --stripe-unit 64K --stripe-count 3 m.st3 st3"
	map st3
	eq "$(objects rbd "$(attr image_id)")" '0 1 2 3 4 5' 'objects before'
	blkdiscard -o 0 -l 3145728 "$DEV" || fail 'discard of an object set'
	model_zero 0 3145728
	# The second row of the next set.
	blkdiscard -o $((3145728 + 196608)) -l 196608 "$DEV" || fail 'discard of a row'
	model_zero $((3145728 + 196608)) 196608
	both_are st3 st3
	eq "$(objects rbd "$(attr image_id)")" '3 4 5' 'objects after'
	unmap
}
t_objects_4k() {
	striped st4 393216 '' --object-size 4K
	put 2048 32768
	zero 65536 8192
	both_are st4 st4
	unmap
}
t_objects_64k() {
	striped st5 2097152 '' --object-size 64K
	put $((65536 - 4096)) 524288
	both_are st5 st5
	unmap
}
t_objects_32m() {
	image st6 64M --image-feature layering --object-size 32M
	model st6 67108864
	map st6
	put $((33554432 - 2097152)) 4194304
	put $((67108864 - 4096)) 4096
	zero $((33554432 - 1048576)) 65536
	export_is st6 st6
	cmp -n 4194304 -i $((33554432 - 2097152)):0 "$DEV" <(host "tail -c +$((33554432 - 2097152 + 1)) $DATA/m.st6 | head -c 4194304 >$DATA/part"; cat $LAB/data/part) || fail 'the device differs from the model'
	eq "$(objects_sizes rbd "$(attr image_id)")" '0:33554432 1:33554432' 'objects and their sizes'
	unmap
}
# Requests of a thousand objects, which the driver keeps something for each of.
t_wide() {
	image st7 4G --image-feature layering --object-size 4M --stripe-unit 4K --stripe-count 1024
	map st7
	blkdiscard "$DEV" || fail 'discard of an object set'
	fio_ --name=v --rw=write --bs=4M --size=8M --iodepth=1 --verify=crc32c --do_verify=1 --verify_fatal=1
	unmap
}

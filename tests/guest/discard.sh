# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Discard and zero-out: which objects are left, how long they are, and what they hold. The C driver passes the same.

# filled NAME [MAP OPTIONS]   four objects of 1 MiB, all full, mapped; AT is where an object begins
filled() {
	model "$1" 4194304 pattern
	sync_host "rbd import --no-progress --image-feature layering --object-size 1M m.$1 $1" || fail 'rbd import'
	IMAGES+=("$1")
	map "$1" "${2:-}"
	IMAGE=$1
}
K=1024 M=1048576
# left WHAT WANTED   after a step
left() {
	eq "$(objects_sizes rbd "$(attr image_id)")" "$2" "objects after $1"
}
trim() { # OFFSET LENGTH [OFFSET LENGTH of what becomes zero]
	blkdiscard -o "$1" -l "$2" "$DEV" || fail "discard of $2 bytes at $1"
	if [ $# = 4 ]; then model_zero "$3" "$4"; fi
}

# The default alloc_size is 64 KiB: ranges shrink to its multiples.
t_rounding() {
	filled di1
	trim 0 $M 0 $M
	trim $((M + 512 * K)) $((512 * K)) $((M + 512 * K)) $((512 * K))
	left 'an object and a tail' '1:524288 2:1048576 3:1048576'
	trim $((2 * M + 64 * K)) $((64 * K)) $((2 * M + 64 * K)) $((64 * K))
	trim $((2 * M + 260 * K)) $((50 * K))
	trim $((3 * M + 10 * K)) $((200 * K)) $((3 * M + 64 * K)) $((128 * K))
	trim $((3 * M + 1000 * K)) $((24 * K))
	left 'pieces inside' '1:524288 2:1048576 3:1048576'
	both_are di1 di1
	# Across objects: a tail, a whole one, a head.
	trim $((M + 256 * K)) $((2 * M)) $((M + 256 * K)) $((2 * M))
	# The block layer cuts it in two in the middle of object 2.
	left 'a range across objects' '1:262144 2:262144 3:1048576'
	both_are di1 di1
	trim $((M)) $((256 * K)) $M $((256 * K))
	trim $((3 * M)) $M $((3 * M)) $M
	both_are di1 di1
	objects_sizes rbd "$(attr image_id)"
	unmap
}
t_alloc_4k() {
	filled di2 alloc_size=4096
	trim $((2 * K)) $((12 * K)) $((4 * K)) $((8 * K))
	trim $((2 * M + 1000 * K)) $((24 * K)) $((2 * M + 1000 * K)) $((24 * K))
	trim $((2 * M + 512)) 2048
	trim $((2 * M - 4 * K)) $((8 * K)) $((2 * M - 4 * K)) $((8 * K))
	both_are di2 di2
	left 'pieces' '0:1048576 1:1044480 2:1024000 3:1048576'
	unmap
}
# As large as an object: nothing less than an object goes, but for tails.
t_alloc_object() {
	filled di3 alloc_size=$M
	trim $((64 * K)) $((512 * K))
	trim $M $M $M $M
	left 'an inner piece and an object' '0:1048576 2:1048576 3:1048576'
	trim $((2 * M + 768 * K)) $((256 * K)) $((2 * M + 768 * K)) $((256 * K))
	left 'a tail' '0:1048576 2:786432 3:1048576'
	both_are di3 di3
	unmap
}
t_notrim() {
	filled di4 notrim
	if blkdiscard -o 0 -l $M "$DEV" 2>/run/err; then fail 'discard works with notrim'; fi
	errno_of "$(</run/err)"
	eq "$ERRNO" EOPNOTSUPP errno
	zero $M $M
	zero $((2 * M + 100 * K)) $((8 * K))
	both_are di4 di4
	objects_sizes rbd "$(attr image_id)"
	unmap
}

# Zero-out that may unmap (blkdiscard -z, fallocate -p) and that may not (fallocate -z): zeroes to the byte, whatever alloc_size is.
t_zero_out() {
	filled di5
	zero 0 $M
	left 'zero-out of an object' '1:1048576 2:1048576 3:1048576'
	zero $((M + 4 * K)) $((8 * K))
	zero $((M + 1000 * K)) $((24 * K))
	left 'zero-out inside and at the end of an object' '1:1024000 2:1048576 3:1048576'
	fallocate -p -o $((2 * M)) -l $M "$DEV" || fail 'fallocate -p'
	model_zero $((2 * M)) $M
	left 'fallocate -p of an object' '1:1024000 3:1048576'
	fallocate -z -o $((3 * M)) -l $((512 * K)) "$DEV" || fail 'fallocate -z'
	model_zero $((3 * M)) $((512 * K))
	fallocate -z -o $((3 * M + 512 * K + 512)) -l 1024 "$DEV" || fail 'fallocate -z of two sectors'
	model_zero $((3 * M + 512 * K + 512)) 1024
	both_are di5 di5
	echo "after fallocate -z: $(objects_sizes rbd "$(attr image_id)")"
	# What is not there need not be made.
	zero 0 $((64 * K))
	zero $((2 * M + 4 * K)) $((4 * K))
	both_are di5 di5
	echo "after zero-out of what is not there: $(objects_sizes rbd "$(attr image_id)")"
	put $((2 * M + 4 * K)) 4096
	both_are di5 di5
	unmap
}

# With a snapshot, the snapshot keeps what the head loses.
t_snapshot() {
	filled di6
	sync_host 'rbd snap create --no-progress di6@s'
	model_copy di6 di6s
	trim 0 $M 0 $M
	trim $((M + 64 * K)) $((64 * K)) $((M + 64 * K)) $((64 * K))
	zero $((2 * M)) $M
	both_are di6 di6
	export_is di6@s di6s
	unmap
}

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# A guest that is short of memory, and gets it back only by writing to the device.
. "$here/fault.sh"

available() { awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo; }
# hog MEBIBYTES   takes all memory but so much
hog() {
	local take=$(($(available) - $1))
	[ $take -gt 0 ] || skip "only $(available) MiB of memory are free as it is"
	mkdir -p /run/hog
	mount -t tmpfs -o size=100% hog /run/hog
	at_end hog_end
	fallocate -l ${take}M /run/hog/fill || fail 'filling the memory'
	echo "$(available) MiB left"
}
dirty_ratios() {
	echo "$1" >/proc/sys/vm/dirty_ratio
	echo "$2" >/proc/sys/vm/dirty_background_ratio
}
hog_end() {
	swapoff "$DEV" 2>/dev/null || true
	umount /run/hog || umount -l /run/hog
}

# Dirty pages are let grow beyond what is free, so that whoever needs memory waits for them to be written.
t_writeback() {
	local mib old_ratio old_background sum
	mib=$(more 80) old_ratio=$(</proc/sys/vm/dirty_ratio) old_background=$(</proc/sys/vm/dirty_background_ratio)
	if [ "$mib" -gt 1600 ]; then mib=1600; fi
	image me1 $((mib * 2 + 64))
	map me1
	mkfs.ext4 -q -E nodiscard "$DEV" || fail mkfs
	mkdir -p /run/mnt
	mount "$DEV" /run/mnt || fail mount
	source_pattern
	hog 80
	at_end dirty_ratios "$old_ratio" "$old_background"
	echo 90 >/proc/sys/vm/dirty_ratio
	echo 80 >/proc/sys/vm/dirty_background_ratio
	local i
	for ((i = 0; i < mib / 8; i++)); do
		cat "$PATTERN" || fail 'write'
	done >/run/mnt/file
	echo "$(awk '/^(MemFree|Dirty|Writeback):/ { printf "%s %d MiB  ", $1, $2 / 1024 }' /proc/meminfo)"
	sync -f /run/mnt/file || fail sync
	undo
	sum=$(for ((i = 0; i < mib / 8; i++)); do cat "$PATTERN"; done | md5sum)
	umount /run/mnt
	mount "$DEV" /run/mnt || fail 'mount again'
	eq "$(md5sum </run/mnt/file)" "$sum" 'the file'
	umount /run/mnt
	undo
	unmap
}

# Swap on the device: memory that can only be had by writing to it.
t_swap() {
	image me2 1024
	map me2
	mkswap "$DEV" >/run/null || fail mkswap
	swapon "$DEV" || fail swapon
	hog 200
	python3 - <<'PY' || fail 'memory that was swapped out came back wrong'
import hashlib, os
block = 1 << 20
seeds = [os.urandom(32) for _ in range(500)]
make = lambda s: hashlib.shake_128(s).digest(4096) * (block // 4096)
kept = [bytearray(make(s)) for s in seeds]
for turn in range(3):
    for n, s in enumerate(seeds):
        if kept[n] != make(s): raise SystemExit(f'block {n} in turn {turn}')
PY
	grep rbd /proc/swaps
	swapoff "$DEV" || fail swapoff
	undo
	unmap
}

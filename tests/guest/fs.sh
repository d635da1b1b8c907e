# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# File systems on a mapping.

filesystem() { # NAME MKFS SIZE
	local name=$1
	shift
	img "$name" "$2"
	pattern pf 6
	map "$name"
	$1 "$DEV" >/run/mkfs 2>&1 || fail "$1: $(tail -n2 /run/mkfs)"
	mkdir -p /run/m
	mount "$DEV" /run/m || fail mount
	cp "$PATTERN" /run/m/a
	mkdir /run/m/d
	for i in 1 2 3 4 5 6 7 8 9; do echo "$i" >/run/m/d/$i; done
	umount /run/m
	unmap
	map "$name"
	mount "$DEV" /run/m || fail 'mount again'
	cmp /run/m/a "$PATTERN" || fail 'the file differs after mounting again'
	eq "$(cat /run/m/d/*)" "$(printf '%s\n' 1 2 3 4 5 6 7 8 9)" 'small files'
	rm /run/m/a
	fstrim /run/m || fail fstrim
	umount /run/m
	case $1 in *ext4*) e2fsck -fn "$DEV" >/run/fsck 2>&1 ;; *) xfs_repair -n "$DEV" >/run/fsck 2>&1 ;; esac || fail "check: $(tail -n2 /run/fsck)"
	unmap
}
t_ext4() { filesystem f1 'mkfs.ext4 -q' 64; }
t_xfs() { filesystem f1x 'mkfs.xfs -q -f' 320; }

# Several tasks do all that files are for, while the image is trimmed and others take snapshots of it; what is there in the end is there
# after mounting again, and as librbd shows it.
stress() { # NAME MKFS SIZE MOUNT_OPTIONS READ_ONLY_MOUNT_OPTIONS
	local name=$1 nbd i sums=()
	image "$name" "$3"
	map "$name"
	$2 "$DEV" >/run/mkfs 2>&1 || fail "$2: $(tail -n2 /run/mkfs)"
	mkdir -p /run/m
	mount -o "$4" "$DEV" /run/m || fail mount
	python3 "$here/fs_stress.py" work /run/m/a 4 "$(more 80)" >/run/stress 2>&1 &
	local work=$!
	for i in 1 2; do
		sleep 2
		host "rbd snap create --no-progress $name@s$i" || fail 'rbd snap create'
		sums[i]=$(sum_of "$name@s$i")
		fstrim /run/m || fail fstrim
	done
	wait $work || fail "the stress: $(tail -n1 /run/stress)"
	python3 "$here/fs_stress.py" list /run/m/a >/run/list || fail list
	umount /run/m
	case $2 in *ext4*) e2fsck -fn "$DEV" >/run/fsck 2>&1 ;; *) xfs_repair -n "$DEV" >/run/fsck 2>&1 ;; esac || fail "check: $(tail -n2 /run/fsck)"
	unmap
	map "$name"
	mount "$DEV" /run/m || fail 'mount again'
	python3 "$here/fs_stress.py" list /run/m/a | cmp - /run/list || fail 'what is there differs after mounting again'
	umount /run/m
	unmap
	# The same blocks by librbd.
	modprobe nbd 2>/dev/null || true
	nbd=$(timeout 150 rbd-nbd map --read-only "$name" 2>/run/err) || fail "rbd-nbd: $(tail -n1 /run/err)"
	at_end nbd_off "$nbd"
	# Who looks for partitions may have it for a moment.
	soon mount -o "ro,$5" "$nbd" /run/m 2>/run/err || fail "mount by librbd: $(head -n1 /run/err)"
	python3 "$here/fs_stress.py" list /run/m/a | cmp - /run/list || fail 'what librbd shows differs'
	undo || fail 'rbd-nbd unmap'
	for i in '' @s1 @s2; do map_denies_nothing "$name$i"; done
	# No snapshot has changed since it was taken; nor does a map matter that is flagged since then, and was used before.
	for i in 1 2; do
		eq "$(sum_of "$name@s$i")" "${sums[i]}" "checksum of snapshot $i"
	done
	echo "$(wc -l </run/list) names"
}
# map_denies_nothing IMAGE[@SNAP]   What was discarded behind the end of an object since a snapshot counts as changed, and no byte was:
# librbd's check calls that wrong, also after librbd alone. All else it finds is.
map_denies_nothing() {
	host "rbd object-map check --no-progress $1" >/run/check 2>&1 || fail "rbd object-map check $1: $(tail -n1 /run/check)"
	if grep -q 'object map error' /run/check; then
		if grep 'object map error' /run/check | grep -qv 'marked as 1, but should be 3'; then fail "$1: $(grep -m 1 -o 'object map error.*' /run/check)"; fi
	else
		eq "$(flags_of "$1")" '' "flags of $1"
	fi
}
sum_of() { host "set -o pipefail; rbd export --no-progress $1 - | sha256sum" || echo "no answer for $1 at $SECONDS s"; } # IMAGE@SNAP
nbd_off() { # DEV
	if mountpoint -q /run/m; then umount /run/m; fi
	timeout 150 rbd-nbd unmap "$1"
}
t_stress_ext4() { stress f2 'mkfs.ext4 -q' 128 discard noload; }
t_stress_xfs() { stress f3 'mkfs.xfs -q -f' 320 discard norecovery; }

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# File systems on a mapping.

filesystem() { # MKFS SIZE
	img f1 "$2"
	pattern pf 6
	map f1
	$1 "$DEV" >/run/mkfs 2>&1 || fail "$1: $(tail -n2 /run/mkfs)"
	mkdir -p /run/m
	mount "$DEV" /run/m || fail mount
	cp "$PATTERN" /run/m/a
	mkdir /run/m/d
	for i in 1 2 3 4 5 6 7 8 9; do echo "$i" >/run/m/d/$i; done
	umount /run/m
	unmap
	map f1
	mount "$DEV" /run/m || fail 'mount again'
	cmp /run/m/a "$PATTERN" || fail 'the file differs after mounting again'
	eq "$(cat /run/m/d/*)" "$(printf '%s\n' 1 2 3 4 5 6 7 8 9)" 'small files'
	rm /run/m/a
	fstrim /run/m || fail fstrim
	umount /run/m
	case $1 in *ext4*) e2fsck -fn "$DEV" >/run/fsck 2>&1 ;; *) xfs_repair -n "$DEV" >/run/fsck 2>&1 ;; esac || fail "check: $(tail -n2 /run/fsck)"
	unmap
}
t_ext4() { filesystem 'mkfs.ext4 -q' 64; }
t_xfs() { filesystem 'mkfs.xfs -q -f' 320; }

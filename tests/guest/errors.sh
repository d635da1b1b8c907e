# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What must be refused, how, and that it is refused in time.

refused() { # ERRNO STRING
	if add_raw "$2"; then fail "accepted: $2"; fi
	eq "$ERRNO" "$1" "errno of '${2//$SECRET/KEY}'"
}

t_strings() {
	local m o=name=admin,secret=$SECRET,ms_mode=crc
	m=$(monspec v2)
	img e1 16
	refused EINVAL ' '
	refused EINVAL "$m"
	refused EINVAL "$m $o"
	refused EINVAL "$m $o rbd"
	refused EINVAL "$m $o,nosuchoption rbd e1"
	refused EINVAL "$m $o,ms_mode=quick rbd e1"
	refused EINVAL "$m $o,queue_depth=0 rbd e1"
	refused EINVAL "$m $o,queue_depth=abc rbd e1"
	refused EINVAL "$m $o,alloc_size=1000 rbd e1"
	refused EINVAL "$m $o,fsid=zzz rbd e1"
	refused EINVAL "10.77.0.1.5:3300 $o rbd e1"
	refused EINVAL "$m:99999999 $o rbd e1"
	refused EINVAL "$m $o,mount_timeout=-1 rbd e1"
	eq "$(mapped_ids)" '' 'something was mapped all the same'
}

t_missing() {
	img e2 16
	refused ENOENT "$(monspec v2) $(opts v2) nosuchpool e2"
	refused ENOENT "$(monspec v2) $(opts v2) rbd nosuchimage"
	refused ENOENT "$(monspec v2) $(opts v2) rbd e2 nosuchsnap"
}

t_remove() {
	if unmap_once 999; then fail 'removed a device that does not exist'; fi
	eq "$ERRNO" ENOENT 'errno'
	if unmap_once abc; then fail 'removed "abc"'; fi
	eq "$ERRNO" EINVAL 'errno'
	if unmap_once 0 gently; then fail 'accepted an unknown word'; fi
	eq "$ERRNO" EINVAL 'errno'
}

t_wrong_key() {
	img e3 16
	local other
	other=$(host ceph-authtool --gen-print-key)
	refused EACCES "$(monspec v2) name=admin,ms_mode=crc,secret=$other rbd e3"
	refused EACCES "$(monspec v1) name=admin,secret=$other rbd e3"
	refused EINVAL "$(monspec v2) name=admin,ms_mode=crc,secret=notbase64! rbd e3"
	refused EPERM "$(monspec v2) name=admin,ms_mode=crc,key=nosuchkey rbd e3"
}

# No key at all, where the cluster wants one.
t_no_key() {
	img e8 16
	refused EACCES "$(monspec v2) name=admin,ms_mode=crc rbd e8"
	refused "$([ "$DRIVER" = c ] && echo EINVAL || echo EACCES)" "$(monspec v1) name=admin rbd e8"
	eq "$(mapped_ids)" '' 'something was mapped all the same'
}

# The monitors answer, the OSDs do not.
t_silent_osds() {
	[ "$DRIVER" = rust ] || skip 'the C driver waits for ever'
	local t
	img e9 16
	freeze osd
	t=$SECONDS
	refused ETIMEDOUT "$(monspec v2) $(opts v2),mount_timeout=6,noshare rbd e9"
	t=$((SECONDS - t))
	[ $t -ge 5 ] && [ $t -le 50 ] || fail "gave up after $t s, mount_timeout was 6"
	grep -q 'image rbd/e9: no answer from the OSDs' <<<"$(dmesg)" || fail 'the log does not say what is missing'
	undo
	map e9
	unmap
}

# A key that exists but may not use the pool.
t_caps() {
	img e4 16
	local key
	host "ceph osd pool create other 8 8 >/dev/null; ceph auth get-or-create client.poor mon 'profile rbd' osd 'profile rbd pool=other' >/dev/null" || fail 'making client.poor'
	key=$(host ceph auth get-key client.poor)
	refused EPERM "$(monspec v2) name=poor,ms_mode=crc,secret=$key rbd e4"
}

t_keyring() {
	img e5 16
	# The secret is the base64 form of what the key type takes. A session keyring of our own leads to the user's.
	keyctl link @u @s 2>/dev/null || true
	printf %s "$SECRET" | base64 -d | keyctl padd ceph client.lab @u >/dev/null 2>/run/err || fail "keyctl padd: $(cat /run/err)"
	add_raw "$(monspec v2) name=admin,ms_mode=crc,key=client.lab rbd e5" || fail "map by key= : $ERRNO"
	unmap "$(mapped_ids)" || fail "unmap: $ERRNO"
	# Old tools hand over a few bytes more than the key has.
	{ printf %s "$SECRET" | base64 -d && printf 'behind'; } | keyctl padd ceph client.lab2 @u >/dev/null 2>/run/err || fail "keyctl padd: $(cat /run/err)"
	add_raw "$(monspec v2) name=admin,ms_mode=crc,key=client.lab2 rbd e5" || fail "map by key= : $ERRNO"
	unmap "$(mapped_ids)" || fail "unmap: $ERRNO"
	if keyctl add ceph client.bad 'not a key' @u >/dev/null 2>&1; then fail 'a malformed key was accepted'; fi
}

t_unreachable() {
	img e6 16
	# Without the option it would be a minute.
	local t=$SECONDS
	# An address of the lab's network where nobody answers.
	if add_raw "10.77.$GUEST_ID.77:6789 name=admin,secret=$SECRET,mount_timeout=6 rbd e6"; then fail 'mapped without a monitor'; fi
	eq "$ERRNO" ETIMEDOUT errno
	t=$((SECONDS - t))
	[ $t -ge 5 ] && [ $t -le 50 ] || fail "gave up after $t s, mount_timeout was 6"
	# A port where nobody listens.
	t=$SECONDS
	if add_raw "$MON:9 name=admin,secret=$SECRET,mount_timeout=6 rbd e6"; then fail 'mapped without a monitor'; fi
	eq "$ERRNO" ETIMEDOUT errno
	[ $((SECONDS - t)) -le 50 ] || fail "gave up after $((SECONDS - t)) s, mount_timeout was 6"
}

# The first monitor named is dead, the second is well.
t_second_monitor() {
	img e7 16
	add_raw "10.77.$GUEST_ID.77:3300,$(monspec v2) $(opts v2) rbd e7" || fail "map: $ERRNO"
	unmap "$(mapped_ids)" || fail "unmap: $ERRNO"
}

t_features() {
	host rbd create --size 16 --image-feature layering,exclusive-lock,journaling e8
	IMAGES+=(e8)
	dmesg -C
	refused ENXIO "$(monspec v2) $(opts v2) rbd e8"
	grep -qi 'journaling\|unsupported features: 0x0*40' <<<"$(dmesg)" || fail 'the log does not name the feature'
}

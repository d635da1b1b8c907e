# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# A cluster of three monitors: one is killed, then others.
. "$here/fault.sh"

[ "$(wc -w <<<"$mon_addrs")" -ge 3 ] || skip 'it needs three monitors'

# The monitor that our client talks to: its letter in CURRENT. False when it is connected to none, or has not made its choice.
current_mon() {
	case $(sed -n 's/^.*: [0-9A-F]*:[0-9A-F]* 0\([123]\)004D0A:0CE4 01.*/\1/p' /proc/net/tcp | tr -d '\n') in
	1) CURRENT=a ;;
	2) CURRENT=b ;;
	3) CURRENT=c ;;
	*) return 1 ;;
	esac
}
current_mon_is_not() { current_mon && [ "$CURRENT" != "$1" ]; }
all_mons() {
	local m s=''
	for m in $mon_addrs; do s+="${s:+,}$(monspec v2 "$m")"; done
	echo "$s"
}
map_all_mons() {
	add_raw "$(all_mons) $(opts v2) rbd $1" || fail "map: $ERRNO"
	ID=$(mapped_ids | tail -n1) DEV=/dev/rbd$(mapped_ids | tail -n1)
}

# The one in use dies under I/O, for good. The client goes to another: it learns of a new map, and can map more images.
t_failover() {
	img mo1 16 --object-size 1M
	img mo2 16
	map_all_mons mo1
	soon current_mon || fail 'connected to no monitor'
	local dead=$CURRENT
	load_begin 20
	sleep 2
	stop_daemon "mon.$dead" KILL
	load_end
	soon current_mon_is_not "$dead" || fail 'connected to no other monitor'
	echo "from mon.$dead to mon.$CURRENT"
	# A new map must reach us through it: requests wait while the cluster says pause.
	pause
	dd if=/dev/zero of="$DEV" bs=64k count=4 oflag=direct 2>/run/err &
	local dd=$!
	hangs $dd write
	undo
	wait $dd || fail "write: $(cat /run/err)"
	local id=$ID
	add_raw "$(all_mons) $(opts v2),noshare rbd mo2" || fail "map with a monitor dead: $ERRNO"
	start_daemon "mon.$dead"
	local i
	for i in $(mapped_ids); do unmap "$i" || fail "unmap: $ERRNO"; done
}

# Each in turn.
t_rolling() {
	img mo3 16 --object-size 1M
	map_all_mons mo3
	load_begin 25
	local m
	for m in a b c; do
		stop_daemon mon.$m
		sleep 3
		start_daemon mon.$m
		# Never two of them at a time.
		host "until timeout 20 ceph quorum_status -f json | python3 -c 'import json, sys; sys.exit(len(json.load(sys.stdin)[\"quorum_names\"]) < $(wc -w <<<"$mon_addrs"))'; do sleep 0.5; done" >/run/err 2>&1 ||
			fail "mon.$m does not come back: $(tail -n1 /run/err)"
	done
	load_end
	# A new map comes from a monitor alone.
	pause
	undo
	same_content mo3
	unmap
}

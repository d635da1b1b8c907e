# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# A cluster of three monitors: one is killed, then others.
. "$here/fault.sh"

[ "$(wc -w <<<"$mon_addrs")" -ge 3 ] || skip 'it needs three monitors'

# The monitor that our client talks to: its letter.
current_mon() {
	local n
	n=$(sed -n 's/^.*: [0-9A-F]*:[0-9A-F]* 0\([123]\)004D0A:0CE4 01.*/\1/p' /proc/net/tcp | head -n1)
	case $n in 1) echo a ;; 2) echo b ;; 3) echo c ;; *) fail 'connected to no monitor' ;; esac
}
all_mons() {
	local m s=''
	for m in $mon_addrs; do s+="${s:+,}$(monspec v2 "$m")"; done
	echo "$s"
}
map_all_mons() {
	add_raw "$(all_mons) $(opts v2) rbd $1" || fail "map: $ERRNO"
	ID=$(mapped_ids | tail -n1) DEV=/dev/rbd$(mapped_ids | tail -n1)
}

# The flags PAUSERD and PAUSEWR of the map that the client has (include/rados.h: 4 and 8).
paused() { grep -q 'flags 0x[0-9a-f]*[cdef]$' /sys/kernel/debug/ceph/*/osdmap; }

# The one in use dies under I/O, for good. The client goes to another: it learns of a new map, and can map more images.
t_failover() {
	img mo1 16 --object-size 1M
	img mo2 16
	map_all_mons mo1
	local dead other=''
	dead=$(current_mon)
	load_begin 20
	sleep 2
	stop_daemon "mon.$dead" KILL
	load_end
	wait_for 40 eval 'other=$(current_mon 2>/dev/null) && [ "$other" != "$dead" ]' || fail 'connected to no other monitor'
	echo "from mon.$dead to mon.$other"
	# A new map must reach us through it: requests wait while the cluster says pause.
	host 'ceph osd set pause' >/dev/null
	AT_END="host ceph osd unset pause"
	wait_for 30 paused || fail "no new map came through mon.$other"
	dd if=/dev/zero of="$DEV" bs=64k count=4 oflag=direct 2>/run/err &
	sleep 4
	kill -0 $! || fail "the write ended while the cluster paused: $(cat /run/err)"
	host 'ceph osd unset pause' >/dev/null
	wait $! || fail "write: $(cat /run/err)"
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
		sleep 2
	done
	load_end
	same_content mo3
	unmap
}

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Daemons that stop and come back while verified I/O runs.

on_host() { host "cd / && $*"; }
stop_daemon() { on_host "p=\$(cat /build/run/ceph/run/$1.pid); kill -${2:-TERM} \$p; while [ -d /proc/\$p ] && [ \"\$(cut -d' ' -f3 /proc/\$p/stat)\" != Z ]; do sleep 0.1; done"; }
start_daemon() { on_host "ceph-${1%%.*} -i ${1#*.}"; }

load_begin() { # SECONDS
	fio --output-format=terse --ioengine=libaio --direct=1 --thread --filename="$DEV" --name=load --rw=randwrite --bs=8k --size=16M \
		--iodepth=8 --time_based --runtime="$1" --rate_iops=80 --verify=crc32c --do_verify=0 --verify_fatal=1 --randrepeat=1 >/run/load.out 2>&1 &
	LOAD=$!
}
load_end() {
	wait $LOAD || fail "I/O during the fault: $(tail -n 3 /run/load.out)"
}

# After the fault every block must hold what was written, seen by us and by another client.
under_fault() { # IMAGE COMMAND
	img "$1" 16 --object-size 1M
	PROTO=${PROTO} map "$1" osdkeepalive=2
	load_begin 15
	sleep 3
	eval "$2"
	load_end
	fio_ --name=check --rw=write --bs=64k --size=16M --iodepth=8 --verify=crc32c --do_verify=1 --verify_fatal=1
	dd if="$DEV" bs=1M iflag=direct of=$LAB/seen 2>/run/err
	host "rbd export --no-progress $1 - | cmp - /build/run/guest-$GUEST_ID/seen" || fail 'another client sees other data'
	rm -f $LAB/seen
	unmap
}

t_osd_restart_v2() { under_fault fa1 'stop_daemon osd.1; sleep 2; start_daemon osd.1'; }
t_osd_restart_v1() { PROTO=v1 under_fault fa2 'stop_daemon osd.2; sleep 2; start_daemon osd.2'; }
t_mon_restart() { under_fault fa3 'stop_daemon mon.a KILL; sleep 2; start_daemon mon.a'; }

# The link is gone for a while and comes back: connections are kept or made again, nothing is lost.
t_link() { under_fault fa4 "ip link set $(ls -d /sys/class/net/e* | head -n1 | sed 's|.*/||') down; sleep 6; net_up"; }
net_up() {
	local nic
	nic=$(ls -d /sys/class/net/e* | head -n1)
	nic=${nic##*/}
	ip link set "$nic" up
	ip route replace default via "10.77.$GUEST_ID.1"
	ip -6 addr replace "fd77:$GUEST_ID::2/64" dev "$nic" nodad
	ip -6 route replace default via "fd77:$GUEST_ID::1"
}

# begin_write: a write in the background that cannot end now; then unmapping is refused.
begin_write() {
	dd if=/dev/zero of="$DEV" bs=64k count=16 oflag=direct 2>/run/err &
	DD=$!
	sleep 4
	kill -0 $DD || fail "the write ended all the same: $(cat /run/err)"
	if unmap_once; then fail 'unmapped with a request in flight'; fi
	eq "$ERRNO" EBUSY errno
}
end_write() {
	wait $DD || fail "write: $(cat /run/err)"
	unmap || fail "unmap: $ERRNO"
}

# No OSD answers for a while.
t_osds_frozen() {
	img fa5 8 --object-size 1M
	map fa5
	host 'kill -STOP $(cat /build/run/ceph/run/osd.*.pid)'
	begin_write
	host 'kill -CONT $(cat /build/run/ceph/run/osd.*.pid)'
	end_write
}

# The cluster asks its clients to hold their requests.
t_pause() {
	img fa6 8 --object-size 1M
	map fa6
	host ceph osd set pause
	begin_write
	host ceph osd unset pause
	end_write
}

# Unmapped by force while no OSD answers: that must end, with an error for what was in flight.
t_force_frozen() {
	img fa7 8 --object-size 1M
	map fa7
	host 'kill -STOP $(cat /build/run/ceph/run/osd.*.pid)'
	begin_write
	(
		sleep 5
		host 'kill -CONT $(cat /build/run/ceph/run/osd.*.pid)'
	) &
	unmap_once "$ID" force || fail "forced unmap: $ERRNO"
	wait $DD || true
	wait
	wait_for 10 test ! -e "$BUS/devices/$ID" || fail 'the device is still on the bus'
}

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Daemons that stop, fail and come back, and a map that never rests, while verified I/O runs.

on_host() { host "cd / && $*"; }
stop_daemon() { on_host "p=\$(cat /build/run/ceph/run/$1.pid); kill -${2:-TERM} \$p; while [ -d /proc/\$p ] && [ \"\$(cut -d' ' -f3 /proc/\$p/stat)\" != Z ]; do sleep 0.1; done"; }
start_daemon() { on_host "ceph-${1%%.*} -i ${1#*.}"; }

# seed   makes what RANDOM says from here on repeatable
seed() {
	SEED=${SEED:-$((EPOCHSECONDS % 32768))}
	echo "seed: $SEED (SEED=$SEED makes the same choices)"
	RANDOM=$SEED
}

# load_begin SECONDS [MEBIBYTES]   verified I/O in the background, in passes. Each writes every block once, in random order, and
# then reads all of them back. A block holds the number of its pass and its place: fio's checksums would not find an old write
# that was sent again too late and put in the place of a newer one.
LOAD_SIZE=$(if [ -n "${SOAK:-}" ]; then echo 16; else echo 2; fi)
load_begin() {
	LOAD_SIZE=${2:-$LOAD_SIZE}
	repeat_begin load load_pass --do_verify=1
	LOAD=$REPEATED
	LOADED_UNTIL=$((SECONDS + $1))
}
load_pass() { # NUMBER [OPTIONS OF fio]
	fio --output-format=terse --ioengine=libaio --direct=1 --thread --filename="$DEV" --name=load --rw=randwrite --bs=8k \
		--size="${LOAD_SIZE}M" --iodepth=8 --verify=pattern --verify_pattern="\"pass $(printf %06d "$1")\"%o" --verify_fatal=1 --randseed="$@"
}
# Whether faults are still wanted.
loaded() { [ $SECONDS -lt $LOADED_UNTIL ] && kill -0 $LOAD 2>/dev/null; }
# The faults are over: the pass that runs must end, within minutes.
load_stop() {
	local t
	while loaded; do sleep 0.5; done
	: >/run/load.stop
	t=$((SECONDS + $(more 1) * 60 + 120))
	while kill -0 $LOAD 2>/dev/null; do
		if [ $SECONDS -ge $t ]; then stuck 'the I/O did not end'; fi
		sleep 0.5
	done
}
load_end() {
	local pass
	load_stop
	wait $LOAD || fail "I/O during the fault: $(tail -n 3 /run/load.out)"
	pass=$(</run/load.done)
	load_pass "$pass" --verify_only >/run/load.out 2>&1 || fail "what the last pass wrote is not there: $(tail -n 3 /run/load.out)"
	echo "verified $((pass * LOAD_SIZE)) MiB in $pass passes"
}
# What hangs, and where.
stuck() {
	local f
	for f in /sys/kernel/debug/ceph/*/{osdc,monc} /sys/kernel/debug/rbd/*/requests; do echo "$f:"; cat "$f"; done
	echo w >/proc/sysrq-trigger
	dmesg | tail -n 150
	host 'timeout 20 ceph -s; timeout 20 ceph pg dump_stuck' || true
	fail "$*"
}
# same_content IMAGE   the device and another client agree about all of it
same_content() {
	mkdir -p $LAB/data
	timeout 100 dd if="$DEV" bs=1M iflag=direct of=$LAB/data/seen 2>/run/err || stuck "reading: $(cat /run/err)"
	host "set -o pipefail; timeout 100 rbd export --no-progress $1 - | cmp - $DATA/seen" || stuck 'another client sees other data'
	rm -f $LAB/data/seen
}

# under_fault SECONDS IMAGE COMMAND…   verified I/O for that long, and COMMAND meanwhile
under_fault() {
	local secs=$1 name=$2
	shift 2
	${MAKE:-img} "$name" "$LOAD_SIZE" --object-size 256K
	map "$name" osdkeepalive=2
	load_begin "$secs"
	"$@"
	load_end
	same_content "$name"
	if [ "${MAKE:-}" = image ]; then map_is_right "$name"; fi
	unmap || fail "unmap: $ERRNO"
}
restart() { # DAEMON SIGNAL
	stop_daemon "$1" "$2"
	sleep 1
	start_daemon "$1"
}

t_osd_restart_v2() { under_fault 8 fa1 restart osd.1 TERM; }
t_osd_restart_v1() { PROTO=v1 under_fault 8 fa2 restart osd.2 TERM; }
t_mon_restart() { under_fault 8 fa3 mon_restart; }
mon_restart() {
	restart mon.a KILL
	# A new map comes from the monitor alone.
	pause
	undo
}

# OSDs are stopped, frozen and, where their store survives it, killed: which and when is chosen at random. The image has all
# features of the defaults, so its lock, its object map and its watch have to get through it, too.
t_osds_at_random() {
	seed
	at_end osds_back
	local kill=TERM
	if grep -q '"osd_objectstore": "bluestore"' <<<"$(host 'ceph osd metadata 0')"; then kill=KILL; fi
	MAKE=image under_fault "$(long 15)" fa8 osds_at_random $kill
}
osds_at_random() { # TERM|KILL
	local osd n=0
	while loaded; do
		osd=$((RANDOM % osds))
		n=$((n + 1))
		case $((RANDOM % 4)) in
		0) restart "osd.$osd" TERM ;;
		1) restart "osd.$osd" "$1" ;;
		*)
			host "kill -STOP \$(cat /build/run/ceph/run/osd.$osd.pid); sleep $((1 + RANDOM % 5)); kill -CONT \$(cat /build/run/ceph/run/osd.$osd.pid)"
			;;
		esac
		sleep $((RANDOM % 2))
	done
	echo "$n faults of OSDs"
}
osds_back() {
	host "kill -CONT \$(cat /build/run/ceph/run/osd.*.pid) || true
for i in \$(seq 0 $((osds - 1))); do kill -0 \$(cat /build/run/ceph/run/osd.\$i.pid) || ceph-osd -i \$i; done" >/run/null 2>&1
}

# A new map many times a second: states, primaries and acting sets change under the requests.
t_epochs() {
	seed
	local before after
	at_end epochs_end
	epochs_begin
	before=$(epoch)
	under_fault "$(long 10)" fa9 epochs "$before"
	after=$(epoch)
	undo
	echo "$((after - before)) epochs"
	[ $((after - before)) -ge 20 ] || fail "only $((after - before)) new maps came"
}
epoch() { host "ceph osd stat --format json" | sed 's/.*"epoch":\([0-9]*\).*/\1/'; }
epochs_begin() { host 'ceph config set mon paxos_propose_interval 0.1; ceph config set mon paxos_min_wait 0.01'; }
epochs_end() {
	host "for i in \$(seq 0 $((osds - 1))); do ceph osd primary-affinity osd.\$i 1; done; ceph osd unset noscrub
ceph config rm mon paxos_propose_interval; ceph config rm mon paxos_min_wait" >/run/null 2>&1
}
epochs() { # FROM
	local rounds=0
	# A slow cluster needs longer for as many.
	while loaded || { [ $rounds -lt 10 ] && [ $(($(epoch) - $1)) -lt 30 ]; }; do
		rounds=$((rounds + 1))
		host "timeout 100 python3 - $((RANDOM)) $osds <<'PY'
import json, random, rados, sys, time
random.seed(int(sys.argv[1])); osds = int(sys.argv[2])
c = rados.Rados(conffile='/etc/ceph/ceph.conf'); c.connect()
def do(**k): c.mon_command(json.dumps(k), b'')
pool = c.pool_lookup('rbd')
pg = lambda: f'{pool}.{random.randrange(32):x}'
end = time.time() + 4
while time.time() < end:
    osd = random.randrange(osds)
    match random.randrange(7):
        case 0: do(prefix='osd set', key='noscrub')
        case 1: do(prefix='osd unset', key='noscrub')
        case 2 | 3: do(prefix='osd primary-affinity', id=osd, weight=random.choice((0.0, 0.3, 1.0)))
        case 4 | 5: do(prefix='osd pg-temp', pgid=pg(), id=random.sample(range(osds), 2))
        case 6 if random.random() < 0.1: do(prefix='osd down', ids=[str(osd)])
PY" || fail 'changing the map'
	done
}

# Each OSD and monitor ends one in so many of its calls to send or receive, and the connection with it.
t_socket_failures_v2() { socket_failures fa10 "$(long 10)"; }
t_socket_failures_v1() { PROTO=v1 socket_failures fa11 "$(long 10)"; }
socket_failures() { # IMAGE SECONDS
	local before after
	at_end socket_failures_end
	before=$(failures_injected)
	under_fault "$2" "$1" socket_failures_in_turn "$(($2 / 3 + 1))" "$before"
	undo
	after=$(failures_injected)
	echo "$((after - before)) connections were broken"
	[ "$after" -gt "$before" ] || fail 'no connection was broken'
}
socket_failures_in_turn() { # SECONDS BEFORE
	local one_in before=$2
	for one_in in 50 100 500; do
		if loaded; then
			host "ceph config set osd ms_inject_socket_failures $one_in; ceph config set mon ms_inject_socket_failures $one_in"
			sleep "$1"
		fi
	done
	soon eval '[ "$(failures_injected)" -gt "$before" ]' || true
	socket_failures_end
}
socket_failures_end() { host 'for i in 1 2 3; do ceph config rm osd ms_inject_socket_failures && ceph config rm mon ms_inject_socket_failures && break; done'; }
failures_injected() { host 'cat /build/run/ceph/log/*.log | grep -c "injecting socket failure" || true'; }

# The link is gone for a while and comes back: connections are kept or made again, nothing is lost.
t_link() {
	at_end net_up
	under_fault "$(long 12)" fa4 link_down
}
link_down() {
	local nic
	nic=$(nic)
	while loaded; do
		ip link set "$nic" down
		# A keepalive is 2 s for OSDs; a monitor's session ends after 30 s of silence.
		sleep $((6${SOAK:+ + RANDOM % 40}))
		net_up
		sleep 10
	done
}
nic() {
	local d
	for d in /sys/class/net/e*; do
		echo "${d##*/}"
		return
	done
}
net_up() {
	local nic
	nic=$(nic)
	ip link set "$nic" up
	ip route replace default via "10.77.$GUEST_ID.1"
	ip -6 addr replace "fd77:$GUEST_ID::2/64" dev "$nic" nodad
	ip -6 route replace default via "fd77:$GUEST_ID::1"
}

# A primary that has yet to recover an object has us wait until it is there: also who reads it as of a snapshot.
t_backoff() {
	local osd pg image id
	at_end backoff_end
	quiet_udev
	img fa20 1 --object-size 1M
	map fa20
	image=$DEV id=$ID
	dd if=/dev/urandom of=/run/old bs=64k count=16 status=none
	dd if=/run/old of="$image" bs=64k oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	host 'rbd snap create --no-progress fa20@s' || fail 'rbd snap create'
	map fa20 '' s
	host "ceph osd map rbd rbd_data.$(attr image_id).0000000000000000 -f json | python3 -c 'import json, sys; m = json.load(sys.stdin); print(m[\"acting_primary\"], m[\"pgid\"])'" >/run/where || fail 'ceph osd map'
	read -r osd pg </run/where
	host 'ceph config set osd osd_backoff_on_degraded true && ceph config set osd debug_ms 1 && ceph osd set norecover' >/run/null 2>&1 || fail 'ceph config set'
	stop_daemon "osd.$osd"
	dd if=/dev/urandom of="$image" bs=64k count=1 oflag=direct 2>/run/err || fail "write without the primary: $(cat /run/err)"
	start_daemon "osd.$osd"
	soon serves_again "$osd" "$pg" || fail "osd.$osd does not serve $pg again: $(host 'ceph pg ls')"
	timeout 120 dd if="$DEV" of=/run/seen bs=64k iflag=direct 2>/run/err || stuck "read of the snapshot: $(cat /run/err)"
	host "grep -q 'osd_backoff(.* block id .*head' /build/run/ceph/log/osd.$osd.log" || fail 'nobody had to wait'
	undo
	cmp /run/seen /run/old || fail 'the snapshot differs'
	unmap || fail "unmap: $ERRNO"
	unmap "$id" || fail "unmap: $ERRNO"
}
# serves_again OSD PG   it is the primary of a group that is active, and has all its OSDs, but not all its objects
serves_again() {
	host "ceph pg ls -f json | python3 -c 'import json, sys
sys.exit(not any(p[\"pgid\"] == \"$2\" and p[\"acting_primary\"] == $1 and \"active\" in p[\"state\"]
	and not any(s in p[\"state\"] for s in (\"undersized\", \"clean\", \"stale\")) for p in json.load(sys.stdin)[\"pg_stats\"]))'"
}
backoff_end() { host 'ceph config rm osd osd_backoff_on_degraded; ceph config rm osd debug_ms; ceph osd unset norecover' >/run/null 2>&1; }

# begin_write: a write in the background that cannot end now; then unmapping is refused.
begin_write() {
	dd if=/dev/zero of="$DEV" bs=64k count=16 oflag=direct 2>/run/err &
	DD=$!
	hangs $DD write
	if unmap_once; then fail 'unmapped with a request in flight'; fi
	eq "$ERRNO" EBUSY errno
}
end_write() {
	wait $DD || fail "write: $(cat /run/err)"
	unmap || fail "unmap: $ERRNO"
}

# No OSD answers for a while.
t_osds_frozen() {
	quiet_udev
	img fa5 8 --object-size 1M
	map fa5
	freeze osd
	begin_write
	undo
	end_write
}

# The cluster asks its clients to hold their requests.
t_pause() {
	quiet_udev
	img fa6 8 --object-size 1M
	map fa6
	pause
	begin_write
	undo
	end_write
}
# The cluster pauses, and we know; until `undo`. The flags of the map are PAUSERD and PAUSEWR (include/rados.h: 4 and 8).
pause() {
	at_end unpause
	host 'ceph osd set pause' >/run/null 2>&1 || fail 'ceph osd set pause'
	soon paused || fail 'the new map does not come'
}
unpause() { host 'ceph osd unset pause' >/run/null 2>&1; }
paused() { grep -q 'flags 0x[0-9a-f]*[cdef]$' /sys/kernel/debug/ceph/*/osdmap; }

# Unmapped by force while no OSD answers: what is under way is waited for.
t_force_frozen() {
	local t
	quiet_udev
	img fa7 8 --object-size 1M
	map fa7
	freeze osd
	begin_write
	t=$SECONDS
	(
		sleep 5
		thaw
	) &
	unmap_once "$ID" force || fail "forced unmap: $ERRNO"
	[ $((SECONDS - t)) -ge 4 ] || fail 'what was under way was not waited for'
	wait $DD || true
	wait
	undo
	soon test ! -e "$BUS/devices/$ID" || fail 'the device is still on the bus'
}
# The same, but the cluster is gone for good.
t_force_gone() {
	[ "$DRIVER" = rust ] || skip 'the C driver waits for ever'
	local t
	quiet_udev
	img fa12 8 --object-size 1M
	map fa12 mount_timeout=15
	freeze osd mon
	begin_write
	t=$SECONDS
	# As with full force, the debug kernel may need longer for its own work.
	unmap_once "$ID" force || eq "$KERNEL_KIND:$ERRNO" debug:ETIMEDOUT 'forced unmap'
	[ $((SECONDS - t)) -ge 14 ] || fail 'what was under way was not waited for'
	if wait $DD; then fail 'the write succeeded'; fi
	grep -q 'Input/output error' /run/err || fail "the write ended with: $(cat /run/err)"
	soon test ! -e "$BUS/devices/$ID" || fail 'the device is still on the bus'
	undo
	map fa12
	dd if=/dev/zero of="$DEV" bs=64k count=16 oflag=direct 2>/run/err || fail "write after mapping again: $(cat /run/err)"
	unmap
}
# Cut off for as long as it takes to be shut out, to be succeeded, and to be let in again: what was under way must not come
# after what the successor wrote.
t_shut_out_meanwhile() {
	[ "$DRIVER" = rust ] || skip 'the C driver sends the old write again'
	local nic addr before retries=/proc/sys/net/ipv4/tcp_retries2 script
	nic=$(nic)
	quiet_udev
	img fa14 8 --object-size 1M
	map fa14 osdkeepalive=2
	dd if=/dev/zero of="$DEV" bs=64k count=1 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	addr=$(attr client_addr)
	at_end "echo $(<$retries) >$retries; net_up"
	# So that connections end as soon as they would have in an hour.
	echo 3 >$retries
	ip link set "$nic" down
	head -c 64K /dev/zero | tr '\0' X | dd of="$DEV" bs=64k count=1 iflag=fullblock oflag=direct 2>/run/err &
	DD=$!
	hangs $DD write
	sleep 45
	script="ceph osd blocklist add $addr && rbd bench --io-type write --io-size 64K --io-total 64K --io-pattern seq fa14"
	script+=" && ceph osd blocklist rm $addr && rbd export --no-progress fa14 - | sha256sum"
	host "set -eo pipefail; { $script; } 2>&1" >/run/before || fail "$(cat /run/before)"
	before=$(tail -n 1 /run/before)
	undo
	if wait $DD; then fail 'the write succeeded'; fi
	grep -q 'Input/output error' /run/err || fail "the write ended with: $(cat /run/err)"
	eq "$(host 'rbd export --no-progress fa14 - | sha256sum')" "$before" 'what the successor wrote'
	same_content fa14
	dd if=/dev/zero of="$DEV" bs=64k count=1 oflag=direct 2>/run/err || fail "a new write: $(cat /run/err)"
	same_content fa14
	unmap || fail "unmap: $ERRNO"
}
# Cut off from one OSD alone, we hear that we are shut out. What was on its way to that OSD must not get there when the way is free
# again, even if we have been let in by then: so few bytes have no pages, by which a connection could be told to be in use.
t_shut_out_queued() {
	[ "$DRIVER" = rust ] || skip 'the C driver sends it'
	local addr n osd dd
	quiet_udev
	img fa21 64 --object-size 1M
	map fa21 osdkeepalive=2
	addr=$(attr client_addr)
	apart_from_header "$(attr image_id)"
	dd if=/dev/zero of="$DEV" bs=64k count=1 seek=$((n * 16)) oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	cut_off "$osd"
	head -c 512 /dev/zero | tr '\0' X | dd of="$DEV" bs=512 count=1 seek=$(((n << 11) + 2047)) iflag=fullblock oflag=direct 2>/run/err &
	dd=$!
	hangs $dd write
	host "ceph osd blocklist add $addr" >/run/null 2>&1 || fail 'ceph osd blocklist add'
	soon eval "! kill -0 $dd" 2>/dev/null || stuck 'the write does not end'
	if wait $dd; then fail 'the write succeeded'; fi
	# There is another client, and the first may come back.
	host "set -e; python3 - <<'PY'
import rados, rbd
with rados.Rados(conffile='/etc/ceph/ceph.conf') as c, c.open_ioctx('rbd') as io, rbd.Image(io, 'fa21') as i: i.write(b'Y' * 1048576, $n << 20)
PY
ceph osd blocklist rm $addr" >/run/err 2>&1 || fail "the successor: $(tail -n 1 /run/err)"
	undo
	# TCP tries again after twice as long as it did the last time.
	sleep 45
	host "rbd export --no-progress fa21 - | python3 -c 'import sys
sys.exit(sys.stdin.buffer.read()[$n << 20:($n + 1) << 20] != b\"Y\" * 1048576)'" || fail 'what the successor wrote is gone'
	unmap || fail "unmap: $ERRNO"
}
# Nothing may be written while the pool is full. A watch must live on: who holds a lock and does not watch is taken for dead.
t_full() {
	[ "$DRIVER" = rust ] || skip 'not asked of the C driver'
	image fa15 8 --object-size 1M
	map fa15
	dd if=/dev/zero of="$DEV" bs=64k count=1 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	at_end "host 'ceph osd pool set-quota rbd max_bytes 0' >/run/null 2>&1"
	host 'ceph osd pool set-quota rbd max_bytes 1' >/run/null 2>&1 || fail 'ceph osd pool set-quota'
	# The flag is FULL (osd_types.h: 2), and the monitors set it with the next statistics.
	soon eval 'grep -q "^pool .* .rbd. .*flags 0x[0-9a-f]*[2367abef] " /sys/kernel/debug/ceph/*/osdmap' || fail 'the pool does not become full'
	dd if=/dev/zero of="$DEV" bs=64k count=1 oflag=direct 2>/run/err &
	DD=$!
	hangs $DD write
	# OSDs give up a watcher after 30 seconds.
	sleep 40
	eq "$(watchers fa15)" 1 'watchers'
	dd if="$DEV" of=/run/null bs=64k count=1 iflag=direct 2>/run/err || fail "read: $(cat /run/err)"
	undo
	wait $DD || fail "write: $(cat /run/err)"
	same_content fa15
	unmap || fail "unmap: $ERRNO"
}

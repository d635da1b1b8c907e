# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the guest tests share: the host side, the driver under test, mapping, and checks. Sourced by `runner`.
#
# The tests know no driver but by its sysfs interface: DRIVER=rust loads net_ceph.ko and rbd.ko from /run/lab/modules,
# DRIVER=c the kernel's own libceph and rbd, which shows that a test is right about what it expects.

shopt -s nullglob
. /run/lab/guest.env
LAB=/run/lab
BUS=/sys/bus/rbd
MON=${mon_addrs%% *}

fail() {
	echo "FAIL: $*" >&2
	exit 1
}
# more N   N, or many times N in a soak
more() { if [ -n "${SOAK:-}" ]; then echo $(($1 * 20)); else echo "$1"; fi; }
# long N   for how many seconds: N, or in a soak a share of its MINUTES
long() { if [ -n "${SOAK:-}" ]; then echo $((${MINUTES:-120} * 60 / 12)); else echo "$1"; fi; }
skip() {
	echo "SKIP: $*" >&2
	exit 77
}

# ends_guest   from here on the test may lose its guest: it then counts as passed. The cluster and its images stay for the next.
ends_guest() { : >$LAB/ends; }

# host COMMAND…   runs a shell command beside the cluster; its output and status are ours
host() {
	local n end=$((SECONDS + 270))
	n=$LAB/req/$BASHPID.${EPOCHREALTIME/./}
	printf '%s\n' "$*" >"$n"
	: >"$n.go"
	until [ -e "$n.rc" ]; do
		sleep 0.1
		if [ $SECONDS -ge $end ]; then fail "the host did not answer: $*"; fi
	done
	cat "$n.out"
	return "$(<"$n.rc")"
}
# The same without waiting. Its output and status will be in the files $LATER.out and $LATER.rc.
host_later() {
	LATER=$LAB/req/$BASHPID.${EPOCHREALTIME/./}
	printf '%s\n' "$*" >"$LATER"
	: >"$LATER.go"
}

# The map string's first two fields, for a protocol: v1 or v2 (crc mode). More options may follow.
monspec() { # v1|v2 [MON]
	local m=${2:-$MON}
	case $m in *:*) m="[$m]" ;; esac
	case $1 in v1) echo "$m:6789" ;; v2) echo "$m:3300" ;; esac
}
SECRET=$(cat $LAB/secret 2>/dev/null || true)
if [ -z "$SECRET" ]; then
	SECRET=$(host ceph auth get-key client.admin)
	echo "$SECRET" >$LAB/secret
fi
opts() { # v1|v2
	case $1 in v1) echo "name=admin,secret=$SECRET" ;; v2) echo "name=admin,secret=$SECRET,ms_mode=crc" ;; esac
}
PROTO=v2

# img NAME SIZE [OPTIONS OF rbd create]   a format 2 image with `layering` alone; removed after the test
IMAGES=()
img() {
	local name=$1 size=$2
	shift 2
	create --image-feature layering --size "$size" "$@" "$name"
}
# create ARGUMENTS OF rbd create… NAME   an image of that name may still be being removed, for the guest before this one
create() {
	host "for t in \$(seq 20); do
	said=\$(rbd create $* 2>&1) && exit
	case \$said in *exists*) sleep 3 ;; *) break ;; esac
done
echo \"\$said\"; exit 1" >/run/created || fail "rbd create ${*: -1}: $(tail -n1 /run/created)"
	IMAGES+=("${*: -1}")
}

# With the module's parameter single_major (the default) devices are added by files of another name.
bus_file() { if [ -e "$BUS/${1}_single_major" ]; then echo "${1}_single_major"; else echo "$1"; fi; }

# add_raw STRING [FILE]   writes to the bus; the errno's name in ERRNO, empty when it worked
add_raw() {
	local msg
	ERRNO=''
	if msg=$( (printf '%s' "$1" >"$BUS/${2:-$(bus_file add)}") 2>&1); then return 0; fi
	errno_of "$msg"
	return 1
}
errno_of() {
	case $1 in
	*'Invalid argument'*) ERRNO=EINVAL ;;
	*'No such file or directory'*) ERRNO=ENOENT ;;
	*'No such device or address'*) ERRNO=ENXIO ;;
	*'Operation not permitted'*) ERRNO=EPERM ;;
	*'Permission denied'*) ERRNO=EACCES ;;
	*'Connection timed out'*) ERRNO=ETIMEDOUT ;;
	*'Device or resource busy'*) ERRNO=EBUSY ;;
	*'Read-only file system'*) ERRNO=EROFS ;;
	*'Operation not supported'*) ERRNO=EOPNOTSUPP ;;
	*'Cannot allocate memory'*) ERRNO=ENOMEM ;;
	*'Connection refused'*) ERRNO=ECONNREFUSED ;;
	*'Required key not available'*) ERRNO=ENOKEY ;;
	*'Input/output error'*) ERRNO=EIO ;;
	*'No space left'*) ERRNO=ENOSPC ;;
	*'out of range'*) ERRNO=ERANGE ;;
	*'Operation now in progress'*) ERRNO=EINPROGRESS ;;
	*'Interrupted system call'*) ERRNO=EINTR ;;
	*) ERRNO="unknown: $1" ;;
	esac
}

mapped_ids() {
	local d
	for d in $BUS/devices/*; do echo "${d##*/}"; done
}

# map IMAGE [OPTIONS [SNAP]]   by echo, pool rbd, protocol $PROTO; sets ID and DEV
map() {
	local before after
	before=" $(mapped_ids | tr '\n' ' ') "
	add_raw "$(monspec $PROTO) $(opts $PROTO)${2:+,$2} ${POOL:-rbd} $1 ${3:--}" "$(bus_file add)" || {
		echo "could not map $1: $ERRNO" >&2
		return 1
	}
	for after in $(mapped_ids); do
		case $before in *" $after "*) ;; *)
			ID=$after DEV=/dev/rbd$after
			wait_for 30 test -b "$DEV" || fail "$DEV does not appear"
			return 0
			;;
		esac
	done
	fail "no new device on the bus after mapping $1"
}
# unmap [ID [force]]   udev may be looking at the device just then, so more tries, as `rbd unmap` does
unmap() {
	local end=$((SECONDS + ${UNMAP_FOR:-40}))
	until unmap_once "$@"; do
		if [ "$ERRNO" != EBUSY ] || [ $SECONDS -ge $end ]; then return 1; fi
		sleep 0.2
	done
}
unmap_once() { add_raw "${1:-$ID}${2:+ $2}" "$(bus_file remove)"; }
# tool_unmap ARGUMENTS OF rbd unmap…   its own patience with udev is not enough on a slow machine
tool_unmap() {
	local end=$((SECONDS + 60))
	udevadm settle --timeout=60 || true
	until rbd unmap "$@" 2>/run/err; do
		if ! grep -q 'Device or resource busy' /run/err || [ $SECONDS -ge $end ]; then
			cat /run/err >&2
			return 1
		fi
		sleep 0.5
	done
}

# at_end COMMAND…   to be run when the test ends, however it ends, the last one first; it must be right to run it twice
AT_END=()
at_end() { AT_END+=("$*"); }
# The last one, now.
undo() {
	local command=${AT_END[-1]}
	unset 'AT_END[-1]'
	eval "$command"
}
cleanup() {
	local id i
	: >/run/work.stop
	for i in $(jobs -p); do
		pkill -P "$i"
		kill "$i"
	done 2>/run/null
	for ((i = ${#AT_END[@]} - 1; i >= 0; i--)); do (eval "${AT_END[i]}") || echo "in the end: ${AT_END[i]} failed"; done
	for i in $(mounts_of_rbd); do umount "$i" 2>/dev/null; done
	for id in $(mapped_ids); do
		UNMAP_FOR=8 unmap "$id" || unmap_once "$id" force
	done
	# Children were made after their parents.
	local script=''
	for ((i = ${#IMAGES[@]} - 1; i >= 0; i--)); do script+="remove ${IMAGES[i]}"$'\n'; done
	if [ -n "$script" ]; then
		host_later "remove() {
	for t in 1 2 3 4 5 6 7 8; do
		for s in \$(rbd snap ls \$1 2>/dev/null | awk 'NR > 1 { print \$2 }'); do rbd snap unprotect \$1@\$s; done
		rbd snap purge --no-progress \$1
		# Who was cut off is a watcher for half a minute.
		if rbd rm --no-progress \$1 || ! rbd info \$1 >/dev/null; then return; fi
		sleep 5
	done
}
$script"
	fi
	wait_for 20 eval '[ -z "$(mapped_ids)" ]' || fail "left mapped: $(mapped_ids | tr '\n' ' ')"
}
mounts_of_rbd() {
	local dev dir _
	while read -r dev dir _; do
		case $dev in /dev/rbd* | /dev/nbd*) echo "$dir" ;; esac
	done </proc/mounts
}

attr() { cat "$BUS/devices/${2:-$ID}/$1"; }
eq() { # GOT WANTED WHAT
	[ "$1" = "$2" ] || fail "${3:-value}: got '$1', wanted '$2'"
}
# What the cluster knows of an image; no answer is not the same as none.
watchers() { # IMAGE   how many
	(host "s=\$(rbd status $1) || { echo 'rbd status failed'; exit; }; grep -c watcher= <<<\"\$s\" || true") || echo 'no answer'
}
flags_of() { # IMAGE[@SNAP]   those of its object map
	(host "s=\$(rbd info $1) || { echo 'rbd info failed'; exit; }; sed -n 's/^.flags: //p' <<<\"\$s\"") || echo 'no answer'
}
# map_is_right IMAGE[@SNAP]…   the object maps deny nothing that is there. librbd's check says so by flagging them: it succeeds all the same
map_is_right() {
	local spec
	for spec; do
		host "rbd object-map check --no-progress $spec" >/run/check 2>&1 || fail "rbd object-map check $spec: $(tail -n1 /run/check)"
		eq "$(flags_of "$spec")" '' "flags of $spec"
	done
}
# Who holds the lock: "clientN ADDRESS", or nothing.
owner() { # IMAGE
	(host "s=\$(rbd lock ls $1) || { echo 'rbd lock ls failed'; exit; }; awk '\$1 ~ /^client/ { sub(/\\./, \"\", \$1); print \$1, \$NF }' <<<\"\$s\"") || echo 'no answer'
}
# Whether two devices of one image have the same content. The page cache of one does not know what is written by the other, and
# udev, which looks at a device whenever it was written to, keeps it for as long.
same_devices() {
	dd if="$1" of=/run/device bs=1M iflag=direct status=none || return 1
	dd if="$2" bs=1M iflag=direct status=none | cmp - /run/device
}
# A file of random bytes made on the host. The guest reads a copy: the shared directory is slow in small pieces.
pattern() { # NAME MEBIBYTES
	host "mkdir -p /build/run/guest-$GUEST_ID/data && head -c ${2}M /dev/urandom >/build/run/guest-$GUEST_ID/data/$1"
	dd if="$LAB/data/$1" of="/run/pattern.$1" bs=512k 2>/run/err || fail "copying the pattern: $(cat /run/err)"
	PATTERN=/run/pattern.$1
	PATTERN_HOST=/build/run/guest-$GUEST_ID/data/$1
}
# The first bytes of an image as another client sees them must be those of the pattern.
same_on_host() { # IMAGE[@SNAP] PATTERN_HOST
	host "rbd export --no-progress $1 - | head -c \$(stat -c %s $2) | cmp - $2" || fail "rbd export of $1 differs from what was written"
}
# wait_for SECONDS COMMAND…   until it succeeds, that long at most
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		if [ $SECONDS -ge $end ]; then return 1; fi
		sleep 0.2
	done
}
# The same for what comes in its own time, however slow the machine is.
soon() { wait_for 90 "$@"; }

# quiet_udev   From here on udev does not look into devices of ours: neither when they come, nor when a writer has closed them, which
# makes it read the partition table, too. Before mapping, for tests that stop the cluster: reads of udev would get stuck, and
# whoever opens the device waits for them.
quiet_udev() {
	at_end loud_udev
	mkdir -p /run/udev/rules.d
	: >/run/udev/rules.d/60-persistent-storage.rules
	echo 'ACTION!="remove", KERNEL=="rbd*", OPTIONS+="nowatch"' >/run/udev/rules.d/99-quiet.rules
	# It looks for new rules every three seconds by itself.
	udevadm control --reload || sleep 4
}
loud_udev() {
	rm -f /run/udev/rules.d/99-quiet.rules
	find /run/udev/rules.d -name '*.rules' -empty -delete
	udevadm control --reload || true
}
# freeze osd|mon…   all daemons of these kinds stand still, until `undo` or the end of the test
freeze() {
	udevadm settle || true
	at_end thaw
	host "kill -STOP \$(cat $(printf '/build/run/ceph/run/%s.*.pid ' "$@"))"
}
thaw() { host 'kill -CONT $(cat /build/run/ceph/run/{osd,mon}.*.pid)'; }

# apart_from_header IMAGE_ID   sets `n` to an object of 64 whose primary, `osd`, has nothing to do with the image's header
apart_from_header() {
	host "python3 - <<'PY'
import json, subprocess
def acting(name): return json.loads(subprocess.check_output(['ceph', 'osd', 'map', 'rbd', name, '-f', 'json']))['acting']
header = acting('rbd_header.$1')
for n in range(64):
    a = acting(f'rbd_data.$1.{n:016x}')
    if a[0] not in header: print(n, a[0]); break
PY" >/run/where || fail 'where is the data?'
	read -r n osd </run/where || fail 'all data is where the header is'
}
# cut_off OSD   nothing that we send gets there, until `undo` or the end of the test
cut_off() {
	at_end "ip route del blackhole 10.77.0.$((10 + $1)) 2>/run/null || true"
	ip route add blackhole "10.77.0.$((10 + $1))"
}
# How many writes the device has done.
writes_done() { awk '{ print $5 }' "/sys/block/${DEV##*/}/stat"; }
# in_flight DEV   a request has got to the driver, and not to its end
in_flight() {
	local reads writes
	read -r reads writes <"/sys/block/${1##*/}/inflight"
	[ $((reads + writes)) -gt 0 ]
}
# hangs PID WHAT [DEV]   what that process asked of the device is on its way, and does not end
hangs() {
	wait_for 60 in_flight "${3:-$DEV}" || fail "the $2 does not get to the device, or ended: $(cat /run/err)"
	sleep 2
	kill -0 "$1" 2>/dev/null || fail "the $2 ended all the same: $(cat /run/err)"
}
# full_force ID   The documentation states a bound of 10 s. The debug kernel under emulation may need longer for its own work.
full_force() {
	local t=$EPOCHREALTIME bound=11
	if [ "$KERNEL_KIND" = debug ]; then bound=30; fi
	if ! unmap_once "$1" full-force; then
		if [ "$KERNEL_KIND:$ERRNO" != debug:ETIMEDOUT ]; then fail "full force: $ERRNO"; fi
		unmap_once "$1" full-force || eq "$ERRNO" ENOENT 'full force again'
	fi
	t=$(((${EPOCHREALTIME/./} - ${t/./}) / 1000))
	echo "full force: $t ms"
	[ $t -le $((bound * 1000)) ] || fail "full force took $t ms"
	[ ! -e "$BUS/devices/$1" ] || fail 'the device is still on the bus'
}

# repeat_begin NAME FUNCTION ARGUMENTS…   does "FUNCTION N ARGUMENTS…" in the background, N counting from 1, until there is /run/NAME.stop; it
# writes to the device. /run/NAME.out is its output, /run/NAME.done the last N that is done, REPEATED the process.
repeat_begin() {
	local name=$1 function=$2 before
	shift 2
	rm -f "/run/$name".*
	before=$(writes_done)
	(
		trap - ERR
		n=0
		until [ -e "/run/$name.stop" ]; do
			n=$((n + 1))
			"$function" $n "$@" >"/run/$name.out" 2>&1 || exit 1
			echo $n >"/run/$name.done"
		done
	) &
	REPEATED=$!
	# It takes its time to begin.
	soon works $REPEATED "$before" || fail 'fio writes nothing'
}
# work_begin OPTIONS OF fio…   verified I/O in the background for as long as the test needs it, in runs that each verify what they wrote
work_begin() {
	repeat_begin work work_run "$@"
	WORK=$REPEATED
}
work_run() { # NUMBER OPTIONS OF fio…
	fio --output-format=terse --ioengine=libaio --direct=1 --thread --filename="$DEV" --name=work --rw=randwrite --bs=4k --io_size=512k \
		--iodepth=4 --verify=crc32c --do_verify=1 --verify_fatal=1 --randseed="$@"
}
# works PID BEFORE   it has written, or ended
works() { [ "$(writes_done)" -gt "$2" ] || ! kill -0 "$1" 2>/dev/null; }
# The run that is under way is the last one.
work_end() {
	: >/run/work.stop
	wait $WORK || fail "I/O in the background: $(tail -n 3 /run/work.out)"
	echo "$(</run/work.done) runs of I/O in the background"
}
fio_() {
	fio --output-format=terse --terse-version=3 --ioengine=libaio --direct=1 --thread --filename="$DEV" --randrepeat=1 "$@" >/run/fio.out 2>&1 ||
		{
			tail -n 15 /run/fio.out >&2
			fail "fio $*"
		}
}

. "$(dirname "${BASH_SOURCE[0]}")/model.sh"

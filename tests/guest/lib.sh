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
	local n=$LAB/req/$BASHPID.$RANDOM t=0
	printf '%s\n' "$*" >"$n"
	: >"$n.go"
	until [ -e "$n.rc" ]; do
		sleep 0.1
		t=$((t + 1))
		if [ $t -gt 1300 ]; then fail "the host did not answer: $*"; fi
	done
	cat "$n.out"
	return "$(<"$n.rc")"
}
# The same without waiting or output.
host_later() {
	local n=$LAB/req/$BASHPID.$RANDOM
	printf '%s\n' "$*" >"$n"
	: >"$n.go"
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

# img NAME SIZE [OPTIONS OF rbd create]   a format 2 image with the one feature that First Light supports; removed after the test
IMAGES=()
img() {
	local name=$1 size=$2
	shift 2
	host rbd create --image-feature layering --size "$size" "$@" "$name" || fail "rbd create $name"
	IMAGES+=("$name")
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
	local before after i
	before=" $(mapped_ids | tr '\n' ' ') "
	add_raw "$(monspec $PROTO) $(opts $PROTO)${2:+,$2} ${POOL:-rbd} $1 ${3:--}" "$(bus_file add)" || {
		echo "could not map $1: $ERRNO" >&2
		return 1
	}
	for after in $(mapped_ids); do
		case $before in *" $after "*) ;; *)
			ID=$after DEV=/dev/rbd$after
			for ((i = 0; i < 50; i++)); do
				if [ -b "$DEV" ]; then return 0; fi
				sleep 0.1
			done
			fail "$DEV does not appear"
			;;
		esac
	done
	fail "no new device on the bus after mapping $1"
}
# unmap [ID [force]]   udev may be looking at the device just then, so a few tries, as `rbd unmap` does
unmap() {
	local i
	for ((i = 0; i < 20; i++)); do
		if unmap_once "$@"; then return 0; fi
		if [ "$ERRNO" != EBUSY ]; then return 1; fi
		sleep 0.2
	done
	return 1
}
unmap_once() { add_raw "${1:-$ID}${2:+ $2}" "$(bus_file remove)"; }

# A command to run before all else when the test ends, however it ends.
AT_END=''
cleanup() {
	local id i
	$AT_END
	for i in $(mounts_of_rbd); do umount "$i" 2>/dev/null; done
	for id in $(mapped_ids); do
		unmap "$id" || unmap "$id" force
	done
	# Children were made after their parents.
	local script=''
	for ((i = ${#IMAGES[@]} - 1; i >= 0; i--)); do script+="remove ${IMAGES[i]}"$'\n'; done
	if [ -n "$script" ]; then
		host_later "remove() {
	for s in \$(rbd snap ls \$1 2>/dev/null | awk 'NR > 1 { print \$2 }'); do rbd snap unprotect \$1@\$s; done
	rbd snap purge --no-progress \$1; rbd rm --no-progress \$1
}
$script"
	fi
}
mounts_of_rbd() {
	local dev dir _
	while read -r dev dir _; do
		case $dev in /dev/rbd*) echo "$dir" ;; esac
	done </proc/mounts
}

attr() { cat "$BUS/devices/${2:-$ID}/$1"; }
eq() { # GOT WANTED WHAT
	[ "$1" = "$2" ] || fail "${3:-value}: got '$1', wanted '$2'"
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
wait_for() { # SECONDS COMMAND…
	local t=$(($1 * 5))
	shift
	while ! "$@"; do
		t=$((t - 1))
		if [ $t -le 0 ]; then return 1; fi
		sleep 0.2
	done
}
fio_() {
	fio --output-format=terse --terse-version=3 --ioengine=libaio --direct=1 --thread --filename="$DEV" --randrepeat=1 "$@" >/run/fio.out 2>&1 ||
		{
			tail -n 15 /run/fio.out >&2
			fail "fio $*"
		}
}

. "$here/model.sh"

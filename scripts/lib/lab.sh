# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Shared by every lab script: where things are kept, how to speak, how to run a command in the tree.
#
# The tree is a Debian root file system in the cache. Commands run in it through a private mount
# namespace, so no mount of ours is ever visible on the host and none can be left behind.
# Inside the tree:  /build/kernels  kernel sources and build directories (from the cache)
#                   /build/src      the checkout
#                   /build/run      the directory of one run (cluster state, guest logs)

set -eu -o pipefail
shopt -s nullglob

LAB_PROJECT=ceph-rs-lab
LAB_SRC=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LAB_CACHE=${LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/$LAB_PROJECT}
LAB_SUITE=trixie
# The kernel series wanted: the main one, unless KERNEL names another.
LAB_SERIES=${KERNEL:-7.3}
LAB_JOBS=${JOBS:-$(nproc)}
LAB_T0=${LAB_T0:-$(date +%s)}
export LAB_T0

say() { printf '[%4ds] %s\n' $(($(date +%s) - LAB_T0)) "$*"; }
warn() { printf '[%4ds] WARNING: %s\n' $(($(date +%s) - LAB_T0)) "$*" >&2; }
# die WHAT [WHAT TO DO]
die() {
	printf 'ERROR: %s\n' "$1" >&2
	if [ -n "${2:-}" ]; then printf '       %s\n' "$2" >&2; fi
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "the lab needs root (chroot, mount and network namespaces, a tap device)" \
		"run it again as root, for example: sudo make ${MAKE_TARGET:-demo}"
}

# end_group PID   ends the process group that PID leads, within 20 s.
end_group() {
	local i
	kill -TERM -- -"$1" 2>/dev/null || return 0
	kill -CONT -- -"$1" 2>/dev/null || true
	for ((i = 0; i < 100; i++)); do
		kill -0 "$1" 2>/dev/null || break
		sleep 0.2
	done
	kill -KILL -- -"$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

# step TEXT LOG COMMAND…   run a long command: its output goes to LOG, a line says every 30 s that it lives,
# and its last lines are shown if it fails. It has a process group of its own, ended when we are interrupted; so the terminal, if
# there is one, is not for it to read or to set, and apt, which would, be stopped for that.
step() {
	local text=$1 log=$2 t0 next=30 rc=0 pid in
	shift 2
	mkdir -p "$(dirname "$log")"
	say "$text"
	t0=$(date +%s)
	if [ -t 0 ]; then exec {in}</dev/null; else exec {in}<&0; fi
	set -m
	"$@" >"$log" 2>&1 <&$in {in}<&- &
	pid=$!
	set +m
	exec {in}<&-
	trap 'trap "" INT TERM; end_group '$pid'; exit 130' INT TERM
	while kill -0 $pid 2>/dev/null; do
		sleep 0.2
		if [ $(($(date +%s) - t0)) -ge $next ]; then
			say "  … still at it after $next s: $(tail -n1 "$log" | tr -d '\r' | cut -c1-90)"
			next=$((next + 30))
		fi
	done
	wait $pid || rc=$?
	trap - INT TERM
	if [ $rc != 0 ]; then
		printf -- '--- last lines of %s\n' "$log" >&2
		tail -n 25 "$log" >&2
		printf -- '---\n' >&2
	fi
	return $rc
}

# with_lock NAME COMMAND…   one at a time; says so when it has to wait.
with_lock() {
	local f=$LAB_CACHE/lock.$1
	shift
	mkdir -p "$LAB_CACHE"
	(
		if ! flock -n 9; then
			say "waiting for another run that holds $f"
			flock -w 3600 9 || die "another run has held $f for an hour" "see who it is: fuser -v $f"
		fi
		"$@"
	) 9>"$f"
}

hash_of() { sha256sum | cut -c1-12; }

# The path of the tree for the package list of this checkout.
tree_path() {
	local key
	key=$({ cat "$LAB_SRC/scripts/packages.list"; echo "$LAB_SUITE"; } | hash_of)
	echo "$LAB_CACHE/$LAB_SUITE-$key"
}

# in_tree COMMAND…   LAB_BIND_SRC replaces the checkout at /build/src.
in_tree() {
	LAB_TREE=${LAB_TREE:-$(tree_path)}
	[ -e "$LAB_TREE/.complete" ] || die "the root file system is not there yet" "make it with: scripts/rootfs"
	mkdir -p "$LAB_CACHE/kernels"
	LAB_TREE=$LAB_TREE LAB_BIND_SRC=${LAB_BIND_SRC:-$LAB_SRC} LAB_KERNELS=$LAB_CACHE/kernels LAB_BIND_RUN= \
		unshare -m --propagation private bash "$LAB_SRC/scripts/lib/enter-tree" "$@"
}

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# One run of the lab: a directory, and namespaces (mount, network, process) kept by one process, the holder.
#
# Everything of a run (daemons, guest, tap devices, mounts) lives in the holder's namespaces, and the holder is process 1
# of its process namespace: when it dies the kernel ends every process, mount and device of the run. It dies
# by `run_end`, and also when the owner (the process that began the run) is gone for whatever reason.

LAB_RUNS=$LAB_CACHE/run

# A process is named by its number and start time, so that a reused number is not mistaken for it.
proc_name() { # PID
	local s
	s=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	# shellcheck disable=SC2086
	set -- ${s##*) }
	echo "${20}"
}
proc_lives() { # FILE holding "PID STARTTIME"
	local pid start
	[ -s "$1" ] || return 1
	read -r pid start <"$1" || return 1
	[ -n "$start" ] && [ "$(proc_name "$pid")" = "$start" ]
}
child_of() { # PID
	local f
	for f in /proc/[0-9]*/status; do
		if [ "$(awk '/^PPid:/ { print $2 }' "$f" 2>/dev/null)" = "$1" ]; then
			f=${f#/proc/}
			echo "${f%/status}"
			return
		fi
	done
	return 1
}

# Daemons outlive the caller: whatever it holds open (a lock, a pipe) is not theirs to keep.
close_inherited() {
	local fd
	for fd in /proc/self/fd/*; do
		fd=${fd##*/}
		# 255 is where bash reads its script.
		if [ "$fd" -gt 2 ] && [ "$fd" != 255 ]; then eval "exec $fd>&-" 2>/dev/null || true; fi
	done
}

# Ends and removes runs whose owner or holder is gone.
run_reap() {
	local d
	for d in "$LAB_RUNS"/*/; do
		d=${d%/}
		if [ -e "$d/kept" ]; then continue; fi
		# In this order, as the holder is there before this ends to be true.
		if proc_lives "$d/starting"; then continue; fi
		if proc_lives "$d/holder"; then
			if [ ! -s "$d/owner" ] || proc_lives "$d/owner"; then continue; fi
		fi
		say "removing what an earlier run left behind: ${d##*/}"
		run_end "$d"
	done
}

# run_claim DIR [OWNERPID]    sweeps up, and makes the directory. One at a time (with_lock runs), as another that sweeps up must not
# see the directory before it says who is at work on it.
run_claim() {
	local dir=$1 owner=${2:-}
	run_reap
	if proc_lives "$dir/holder" || proc_lives "$dir/starting"; then die "a run is already up in $dir" "stop it first: scripts/cluster stop"; fi
	rm -rf --one-file-system "$dir"
	mkdir -p "$dir/etc-ceph" "$dir/log"
	echo "$$ $(proc_name $$)" >"$dir/starting"
	if [ -n "$owner" ]; then echo "$owner $(proc_name "$owner")" >"$dir/owner"; fi
}

# run_begin DIR    makes the holder of a run that was claimed. Not under the lock, which it would keep for as long as it lives.
run_begin() {
	local dir=$1 i holder
	LAB_TREE=$(tree_path) LAB_BIND_RUN=$dir LAB_KERNELS=$LAB_CACHE/kernels LAB_BIND_SRC=$LAB_SRC \
		setsid bash "$LAB_SRC/scripts/lib/supervise" "$dir" </dev/null >"$dir/log/supervise.log" 2>&1 &
	holder=$!
	for ((i = 0; i < 600; i++)); do
		if [ -e "$dir/up" ] && [ -s "$dir/holder" ]; then break; fi
		kill -0 $holder 2>/dev/null || break
		sleep 0.1
	done
	{ [ -e "$dir/up" ] && [ -s "$dir/holder" ]; } || die "could not make the namespaces of the run" "log: $dir/log/supervise.log"
	rm -f "$dir/starting"
}

# run_exec DIR COMMAND…   in the namespaces and the tree of the run
run_exec() {
	local dir=$1 pid
	shift
	proc_lives "$dir/holder" || die "no run is up in $dir" "start one: scripts/cluster start"
	read -r pid _ <"$dir/holder"
	(
		close_inherited
		exec env -u CARGO_HOME -u RUSTUP_HOME PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb \
			nsenter -t "$pid" -m -n -p -i -u -r -w "$@"
	)
}

# run_end DIR   ends every process of the run and removes the directory; KEEP=1 keeps it, without the daemons' data but for their logs
run_end() {
	local dir=$1 pid
	if [ -s "$dir/holder" ] && proc_lives "$dir/holder"; then
		read -r pid _ <"$dir/holder"
		kill -9 "$pid" 2>/dev/null || true
		while proc_lives "$dir/holder"; do sleep 0.1; done
	fi
	if [ "${KEEP:-}" = 1 ]; then
		touch "$dir/kept"
		find "$dir/ceph" -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf --one-file-system {} + 2>/dev/null || true
	else
		rm -rf --one-file-system "$dir"
	fi
}

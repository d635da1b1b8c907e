# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Memory that nobody refers to any more, and memory that is still there. Needs a guest booted with
# kmemleak=on slab_debug=U,kmalloc-*

K=/sys/kernel/debug/kmemleak
SLABS=/sys/kernel/debug/slab

scan() {
	# An object counts when it is found unreferenced and has not changed for some seconds, so look twice.
	echo scan >$K
	sleep 6
	echo scan >$K
}

t_baseline() {
	[ -w $K ] || skip 'the guest was not booted with kmemleak=on'
	scan
	echo clear >$K
	# Code of the kernel and of modules that was needed for starting alone has no names any more, and the place may become ours.
	cat $SLABS/*/alloc_traces 2>/run/null | awk '/^ *[0-9]+ 0x/ { print $2 }' >/run/not-ours
}

t_scan() {
	[ -w $K ] || skip 'the guest was not booted with kmemleak=on'
	scan
	cat $K >/run/leaks
	cp /run/leaks $LAB/leaks
	[ ! -s /run/leaks ] || fail "$(grep -c '^unreferenced' /run/leaks) objects leaked: $(grep -m1 -A30 backtrace /run/leaks | tr -s ' \n' ' ' | cut -c1-160)"
}
t_scan_unloaded() { t_scan; }

# What the modules have allocated and not freed: how many objects, going by the function that asked for them. (What they had the
# network or sysfs allocate lives on as these see fit.) Functions of an unloaded module have bare addresses, so where the modules
# were is remembered (where_modules_are).
live() {
	local cache
	# What is freed stays allocated in KASAN's quarantine until its cache is shrunk.
	for cache in $SLABS/kmalloc-*; do echo 1 >"/sys/kernel/slab/${cache##*/}/shrink"; done
	cat $SLABS/*/alloc_traces >/run/traces
	awk -v "names=$MODULES" '
		BEGIN { split(names, n, " "); for (i in n) re = re (re ? "|" : "") n[i]; re = "^\\[(" re ")\\]$" }
		FILENAME == "/run/not-ours" { other[$1]; next }
		FILENAME == "/run/modules.at" { from[++ranges] = $1; to[ranges] = $2; next }
		function ours(word, r) {
			if (word !~ /^0xffffffff[0-9a-f]+$/ || word in other) return 0
			for (r = 1; r <= ranges; r++) if (word "" >= from[r] "" && word "" < to[r] "") return 1
			return 0
		}
		/^ *[0-9]+ / { counted = $3 ~ re || ours($2); if (counted) total += $1 }
		counted { print >"/run/live" }
		END { print total + 0 }' /run/not-ours /run/modules.at /run/traces
}
# still_there WHY…   fails, and shows where what is still there was allocated
still_there() {
	head -n 400 /run/live
	fail "$*"
}
t_slabs() {
	[ -e $SLABS/kmalloc-64/alloc_traces ] || skip 'the guest was not booted with slab_debug=U,kmalloc-*'
	img sl1 8
	local i idle mapped
	for i in 1 2 3; do
		map sl1
		dd if=/dev/zero of="$DEV" bs=64k count=4 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
		mapped=$(live)
		unmap
		# Work items let go of what they have.
		wait_for 60 eval "[ \$(live) -le ${idle:-1000000} ]" || still_there "$(live) objects after mapping and unmapping once more, $idle before"
		idle=$(live)
		echo "mapped: $mapped objects, unmapped: $idle"
		[ "$mapped" -gt $((idle + 50)) ] || fail 'the objects are not counted'
	done
}
t_slabs_unloaded() {
	[ -e $SLABS/kmalloc-64/alloc_traces ] || skip 'the guest was not booted with slab_debug=U,kmalloc-*'
	wait_for 60 eval '[ "$(live)" = 0 ]' || still_there "$(live) objects of unloaded modules"
}

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Loading and unloading the driver under test.

load_driver() { # [PARAMETERS of rbd]
	local dep
	case $DRIVER in
	c) modprobe rbd "$@" ;;
	rust)
		for ko in net_ceph rbd; do
			[ -e "$LAB/modules/$ko.ko" ] || fail "$ko.ko was not built"
			for dep in $(modinfo -F depends "$LAB/modules/$ko.ko" | tr , ' '); do
				if [ "$dep" != net_ceph ]; then modprobe "$dep"; fi
			done
			if [ $ko = rbd ]; then insmod "$LAB/modules/$ko.ko" "$@"; else insmod "$LAB/modules/$ko.ko"; fi
		done
		;;
	esac
	[ -w $BUS/add ] || fail "$BUS/add is not there after loading the driver"
	# For tests of what they leave behind.
	if [ -e /sys/kernel/debug/slab/kmalloc-64/alloc_traces ]; then where_modules_are; fi
}
MODULES='net_ceph libceph rbd'
where_modules_are() {
	local m size
	for m in $MODULES; do
		[ -e /sys/module/$m ] || continue
		size=$(sed -n "s/^$m \([0-9]*\) .*/\1/p" /proc/modules)
		printf '%s 0x%x\n' "$(<"/sys/module/$m/sections/.text")" $(($(<"/sys/module/$m/sections/.text") + size))
	done >/run/modules.at
}

unload_driver() {
	# Who had a device open may still be about to close it.
	wait_for 30 eval '[ "$(</sys/module/rbd/refcnt)" = 0 ]' || true
	rmmod rbd
	case $DRIVER in c) rmmod libceph ;; rust) rmmod net_ceph ;; esac
	[ ! -e $BUS ] || fail "$BUS outlives the module"
}

t_load() { load_driver; }

t_unload() {
	eq "$(mapped_ids)" '' 'devices still mapped'
	unload_driver
}

# Each device with a major of its own: the files are then `add` and `remove`.
t_own_major() {
	unload_driver
	load_driver single_major=N
	[ ! -e $BUS/add_single_major ] || fail 'add_single_major is there without single_major'
	img om1 16
	img om2 16
	map om1
	local major id=$ID
	major=$(attr major)
	map om2
	[ "$(attr major)" != "$major" ] || fail 'two devices share a major'
	unmap "$id" || fail "unmap: $ERRNO"
	unmap || fail "unmap: $ERRNO"
	unload_driver
	load_driver
}

# All the while lockdep has looked: it gives up at its first report or when its tables are full.
t_lockdep() {
	[ -r /proc/lockdep_stats ] || skip 'this kernel has no lockdep'
	eq "$(sed -n 's/^ debug_locks: *//p' /proc/lockdep_stats)" 1 'debug_locks'
}

# A file of debugfs that is open keeps the code that closes it, also when what it shows is gone.
t_open_files() {
	[ "$DRIVER" = rust ] || skip 'the files are those of the Rust driver'
	img of1 16
	map of1
	local requests status
	exec {requests}<"/sys/kernel/debug/rbd/$ID/requests" {status}<"/sys/kernel/debug/ceph/$fsid.$(attr client_id)/status"
	unmap || fail "unmap: $ERRNO"
	if cat <&$requests >/run/null 2>&1; then fail 'a file that is gone is read'; fi
	if rmmod rbd 2>/run/err; then fail 'unloaded with a file open'; fi
	exec {requests}<&- {status}<&-
	unload_driver
	load_driver
}

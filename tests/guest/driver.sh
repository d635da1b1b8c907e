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
}

unload_driver() {
	rmmod rbd
	case $DRIVER in c) rmmod libceph ;; rust) rmmod net_ceph ;; esac
	[ ! -e $BUS ] || fail "$BUS outlives the module"
}

t_load() { load_driver; }

t_unload() {
	eq "$(mapped_ids)" '' 'devices still mapped'
	unload_driver
}

# Again and again, with the parameter's other value too.
t_reload() {
	load_driver single_major=N
	unload_driver
	load_driver
}

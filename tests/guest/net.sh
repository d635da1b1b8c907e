# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# A bad network under verified I/O: what the guest sends is delayed, reordered, lost, doubled and damaged.
. "$here/fault.sh"

# Damaged segments do not pass TCP's checksum: for the peer they are lost.
t_netem_v2() { netem ne1 "$(long 8)" delay 20ms 15ms 25% loss 2% duplicate 1% reorder 20% 50% corrupt 1%; }
t_netem_v1() { PROTO=v1 netem ne2 "$(long 8)" delay 5ms 5ms loss 4% corrupt 1%; }
netem() { # IMAGE SECONDS WHAT…
	local image=$1 secs=$2
	shift 2
	modprobe sch_netem 2>/run/null || true
	at_end netem_end
	under_fault "$secs" "$image" netem_during_load "$@"
}
netem_during_load() {
	local lost='' rounds
	tc qdisc add dev "$(nic)" root netem limit 10000 "$@" || fail 'tc'
	# Where little is sent in that time, little is lost.
	for ((rounds = 0; rounds < 60; rounds++)); do
		while loaded; do sleep 1; done
		lost=$(tc -s qdisc show dev "$(nic)" | sed -n 's/.*(dropped \([0-9]*\),.*/\1/p' | head -n1)
		if [ "${lost:-0}" -gt 0 ]; then break; fi
		sleep 1
	done
	undo
	echo "$lost segments lost"
	[ "${lost:-0}" -gt 0 ] || fail 'nothing was lost'
}
netem_end() { tc qdisc del dev "$(nic)" root || true; }

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The whole machine dies while it writes, and others go on with the image. The first test ends its guest; the second runs in
# the next one, beside the same cluster.

KEPT=/build/run/crash
acknowledged() { stat -c %s $LAB/crash/cr*/* | awk '{ n += $1 } END { print int(n / 16) }'; }

# Writers on two images, the one without and the other with discards; then the power is cut.
t_power_cut() {
	local i
	image cr1 8M --object-size 64K
	image cr2 8M --object-size 64K
	# What the next guest needs is not to be removed.
	IMAGES=()
	mkdir -p $LAB/crash/cr1 $LAB/crash/cr2
	map cr1
	python3 "$here/crash.py" write "$DEV" $LAB/crash/cr1 wwf >/run/writer1 2>&1 &
	map cr2
	python3 "$here/crash.py" write "$DEV" $LAB/crash/cr2 >/run/writer2 2>&1 &
	wait_for $((${SOAK:+1800} + 200)) eval '[ "$(acknowledged)" -gt '"$(more 1000)"' ]' || fail "$(acknowledged) records: $(tail -n1 /run/writer1 /run/writer2)"
	attr client_addr >$LAB/crash/addr
	ends_guest
	# By links, as nobody may be left to copy what comes until then.
	host "rm -rf $KEPT; cp -rl /build/run/guest-$GUEST_ID/crash $KEPT" || fail 'keeping the logs'
	host_later "for p in /proc/[0-9]*; do
	if tr '\\0' ' ' <\$p/cmdline | grep -q '^[^ ]*qemu-system.*path=/build/run/guest-$GUEST_ID,'; then kill -KILL \${p#/proc/}; fi
done"
	sleep 150
	fail 'the machine is still there'
}

# What was acknowledged is there; the maps know every object; the lock goes to whoever comes.
t_taken_over() {
	host "cat $KEPT/addr" >/run/addr || skip 'no machine died'
	IMAGES=(cr1 cr2)
	local addr i t
	addr=$(</run/addr)
	for i in cr1 cr2; do
		host "rbd lock ls $i" >/run/lockers
		grep -qF "$addr" /run/lockers || fail "$i is not locked by the one that died: $(tail -n1 /run/lockers)"
		host "python3 /build/src/tests/guest/crash.py check $i $KEPT/$i; rc=\$?; rbd du $i | tail -n1; exit \$rc" >/run/check || fail "$i: $(tail -n 2 /run/check | tr '\n' ' ')"
		echo "$i: $(tr '\n' ' ' </run/check)"
	done
	# A map in whose middle a removal was cut short, librbd's own check calls wrong, also after a librbd client.
	map_is_right cr1
	for i in cr1 cr2; do
		map $i
		t=$SECONDS
		timeout 150 dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct 2>/run/err || fail "write to $i after $((SECONDS - t)) s: $(cat /run/err)"
		echo "$i: written to after $((SECONDS - t)) s"
		blkdiscard "$DEV" || fail 'discard of all'
		dd if=/dev/urandom of="$DEV" bs=64k count=2 seek=100 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
	done
	host "ceph osd blocklist ls 2>/dev/null" >/run/blocklist
	grep -qF "$addr " /run/blocklist || fail "the dead owner $addr is not blocklisted: $(tr '\n' ' ' </run/blocklist)"
	# Nothing of what was cut short is left.
	for i in cr1 cr2; do
		map_is_right $i
		# All was discarded, and then two objects were written.
		eq "$(host "rbd diff --whole-object $i | grep -cw data")" 2 "objects of $i at the end"
	done
	host_later "ceph osd blocklist rm $addr; rm -rf $KEPT"
}

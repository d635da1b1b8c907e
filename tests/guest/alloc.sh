# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Memory that is refused to the driver, and to nobody else: the kernel's fault injection, told to look for the modules' code
# on the stack.
. "$here/fault.sh"

FAIL=/sys/kernel/debug/failslab
PAGES=/sys/kernel/debug/fail_page_alloc

# Only what is asked for by the modules may fail, of any kind and in any task.
failing_modules() {
	[ -e $FAIL/require-start ] || skip 'this kernel cannot refuse memory to a module alone'
	local m at size end=0 start=$((1 << 62)) f
	for m in net_ceph libceph rbd; do
		[ -e /sys/module/$m ] || continue
		# The upper half of the address space is negative here.
		at=$(($(</sys/module/$m/sections/.text)))
		size=$(sed -n "s/^$m \([0-9]*\) .*/\1/p" /proc/modules)
		if [ $at -lt $start ]; then start=$at; fi
		if [ $end = 0 ] || [ $((at + size)) -gt $end ]; then end=$((at + size)); fi
	done
	at_end failing_end
	for f in $FAIL $PAGES; do
		printf '0x%x' $start >$f/require-start
		printf '0x%x' $end >$f/require-end
		# Each stack that is looked at takes time: of 12 frames the modules are in one, also where sockets allocate for them.
		echo 12 >$f/stacktrace-depth
		echo N >$f/ignore-gfp-wait
		echo 0 >$f/verbose
		echo 0 >$f/times
		echo 1 >$f/interval
		echo 0 >$f/probability
	done
	echo 0 >$PAGES/min-order
}
LOT=0 REFUSED=0
failing() { # PERCENT HOW_MANY   so many of all allocations, whichever task makes them, until so many failed. REFUSED: those that did
	local f
	for f in $FAIL $PAGES; do
		echo 0 >$f/probability
		# It counts down.
		REFUSED=$((REFUSED + LOT - $(<$f/times)))
	done
	LOT=$2
	for f in $FAIL $PAGES; do
		echo "$2" >$f/times
		echo "$1" >$f/probability
	done
}
failing_end() {
	failing 0 0
	for f in $FAIL $PAGES; do echo 0 >$f/stacktrace-depth; done
}

# nth N FILE STRING   writes to the bus; of the allocations by this task the N-th fails. ERRNO as add_raw does it; LEFT: how many
# allocations it would still have taken (0: one failed)
nth() {
	local out rc=0
	ERRNO='' LEFT=''
	out=$(perl -e '
		$| = 1;
		open(my $bus, ">", $ARGV[1]) or die "$ARGV[1]: $!\n";
		open(my $nth, "+<", "/proc/thread-self/fail-nth") or die "fail-nth: $!\n";
		syswrite($nth, $ARGV[0]);
		my $done = syswrite($bus, $ARGV[2]);
		my $why = "$!";
		sysseek($nth, 0, 0);
		sysread($nth, my $left, 20);
		syswrite($nth, "0");
		print int($left), "\n";
		defined $done or die "$why\n";' "$1" "$2" "$3" 2>&1) || rc=1
	LEFT=${out%%$'\n'*}
	case $LEFT in '' | *[!0-9]*) fail "fail-nth: $out" ;; esac
	if [ $rc != 0 ]; then errno_of "${out#*$'\n'}"; fi
	return $rc
}
MANY_NTH=1000000
# Which allocations of so many are to fail: some at random, or in a soak all of them.
which_of() { # TOTAL HOW_MANY
	local i
	if [ -n "${SOAK:-}" ]; then
		seq 1 "$1"
	else
		for ((i = 0; i < $2; i++)); do echo $((RANDOM % $1 + 1)); done
	fi
}
# well_afterwards IMAGE   it can be mapped, written, read by others, and unmapped
well_afterwards() {
	map "$1"
	load_pass 1 --do_verify=1 >/run/load.out 2>&1 || fail "I/O afterwards: $(tail -n 3 /run/load.out)"
	same_content "$1"
	unmap
}
spec() { echo "$(monspec v2) $(opts v2),noshare${2:+,$2} rbd $1 -"; }

# Mapping, where one allocation after the other fails in the task that maps: it fails and leaves nothing, or does without.
t_map_nth() {
	seed
	failing_modules
	image al1 "$LOAD_SIZE" --object-size 256K
	local n total ok=0 refused=0 failed=0
	nth $MANY_NTH "$BUS/$(bus_file add)" "$(spec al1)" || fail "map: $ERRNO"
	total=$((MANY_NTH - LEFT))
	[ $total -gt 0 ] || fail 'mapping asked for no memory: none can be refused'
	ID=$(mapped_ids)
	unmap || fail "unmap: $ERRNO"
	for n in $(which_of $total 6); do
		if nth "$n" "$BUS/$(bus_file add)" "$(spec al1)"; then
			ok=$((ok + 1))
			if [ "$LEFT" = 0 ]; then failed=$((failed + 1)); fi
			ID=$(mapped_ids) DEV=/dev/rbd$(mapped_ids)
			# What it did without is not missed.
			dd if=/dev/urandom of=/run/block bs=4k count=1 status=none
			dd if=/run/block of="$DEV" bs=4k oflag=direct 2>/run/err || fail "write after allocation $n failed: $(cat /run/err)"
			dd if="$DEV" bs=4k count=1 iflag=direct status=none | cmp - /run/block || fail "what is read after allocation $n failed differs"
			unmap || fail "unmap after allocation $n failed: $ERRNO"
		else
			failed=$((failed + 1))
			refused=$((refused + 1))
			if [ "$ERRNO" != ENOMEM ]; then echo "allocation $n: $ERRNO"; fi
			eq "$(mapped_ids)" '' "devices after allocation $n failed"
		fi
	done
	failing_end
	echo "$total allocations by the task; with one that failed ($failed): $refused times refused, $ok times mapped"
	[ $failed -gt 0 ] || fail 'no allocation failed'
	well_afterwards al1
}

# Unmapping cannot fail for want of memory, whoever asks for it: who unmaps asks for none, others do the work.
t_unmap_random() {
	seed
	# A device that udev has open is not unmapped, for another reason.
	quiet_udev
	failing_modules
	image al2 "$LOAD_SIZE" --object-size 256K
	local i rounds
	rounds=$(more 3)
	for ((i = 0; i < rounds; i++)); do
		map al2
		dd if=/dev/zero of="$DEV" bs=64k count=4 oflag=direct 2>/run/err || fail "write: $(cat /run/err)"
		udevadm settle
		# The first ones, or some of them.
		failing $((i % 2 ? 100 : 30)) $((RANDOM % 40 + 1))
		unmap || fail "unmap refused: $ERRNO"
		failing 0 0
		eq "$(mapped_ids)" '' 'devices left'
	done
	echo "$rounds unmapped, $REFUSED allocations failed"
	[ $REFUSED -gt 0 ] || fail 'no allocation failed'
	well_afterwards al2
}

# Anywhere at any time, also in the work items behind.
t_map_random() {
	seed
	failing_modules
	image al3 8 --object-size 1M
	local i ok=0 end=$((SECONDS + $(long 10)))
	for ((i = 0; SECONDS < end || (REFUSED == 0 && i < 10); i++)); do
		failing 5 $((RANDOM % 10))
		if add_raw "$(spec al3 mount_timeout=5)"; then
			ok=$((ok + 1))
			ID=$(mapped_ids)
			failing 20 $((RANDOM % 10))
			udevadm settle
			if ! unmap; then
				failing 0 0
				unmap || fail "unmap: $ERRNO"
			fi
		else
			echo "map: $ERRNO"
		fi
		failing 0 0
		eq "$(mapped_ids)" '' 'devices left'
	done
	echo "$ok of $i mapped, $REFUSED allocations failed"
	[ $REFUSED -gt 0 ] || fail 'no allocation failed'
	map al3
	load_pass 1 --do_verify=1 >/run/load.out 2>&1 || fail "I/O afterwards: $(tail -n 3 /run/load.out)"
	unmap
}

# During I/O. Ours is to get through.
t_io_v2() {
	[ "$DRIVER" = rust ] || skip 'the C driver ends requests with errors for want of memory'
	failing_modules
	MAKE=image under_fault "$(long 10)" al4 failing_during_load
}
t_io_v1() {
	[ "$DRIVER" = rust ] || skip 'the C driver ends requests with errors for want of memory'
	failing_modules
	PROTO=v1 under_fault "$(long 6)" al5 failing_during_load
}
failing_during_load() {
	while loaded; do
		failing $((RANDOM % 30 + 1)) 20
		sleep 1
	done
	failing 0 0
	echo "$REFUSED allocations failed"
	[ $REFUSED -gt 0 ] || fail 'no allocation failed'
}

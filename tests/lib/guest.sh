# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The part `guest` of tests/run: plans, boots, and what becomes of a guest that dies.

# After how many seconds a test is taken for one that hangs. No expectation: with emulated processors and others at work on the
# machine a test takes five times as long as alone.
limit_of() {
	if [ -n "${SOAK:-}" ]; then echo $((2400 + ${MINUTES:-120} * 10)); return; fi
	case $1 in
	selftest.* | beside.* | crash.* | clone.* | stripe.* | pool.* | discard.* | snap.* | lock.* | objmap.* | unmap.* | many.* | fs.* | fault.* | net.* | tickets.* | alloc.* | memory.* | mons.* | map.loop | map.several | errors.unreachable | errors.wrong_key | io.verify*) echo 480 ;;
	*) echo 300 ;;
	esac
}
tests_of() { # GROUP…
	local g t
	for g in "$@"; do
		case $g in
		*.*) echo "$g" ;;
		*) sed -n "s/^t_\([a-z0-9_]*\)().*/$g.\1/p" "$LAB_SRC/tests/guest/$g.sh" ;;
		esac
	done
}
wanted() { # NAME
	local w
	if [ -z "$TESTS" ]; then return 0; fi
	for w in $TESTS; do
		case $1 in "$w" | "$w".* | driver.load | driver.unload) return 0 ;; esac
	done
	return 1
}

# The log comes by a serial line, and later than the results: to wait for before one looks for reports.
log_has_come() { # NAME [begin]
	local i
	for ((i = 0; i < 100; i++)); do
		if grep -aqE "LAB-TEST ${2:-end} ${1//./\\.}[[:space:]]*\$" "$G/console.log"; then return; fi
		sleep 0.3
	done
	warn "the guest's log does not show the ${2:-end} of $1"
}
# The first report of a bug that came during a test, or "boot".
report_in() { # NAME
	splats_by_test "$G/console.log" 2>/dev/null | awk -F '\t' -v t="$1" '$1 == t { print $2; exit }' | cut -c1-150
}
not_run() { # LABEL WHY TEST…
	local label=$1 why=$2 t
	shift 2
	for t in "$@"; do result not-ok "$label.$t" "not run: $why"; done
}
lines_of() { { cat "$1" 2>/dev/null || true; } | wc -l; }

# guest_boot LABEL KERNEL APPEND   one boot, for the tests in PLAN, which loses those that ended.
# Sets FATE: done; again (a fresh guest must do the rest; FAILED is the test that failed, if that is why); dead (LAST is the test it
# died of, if any); unfit (a bug while booting). REPORTED: the tests whose results tell of a report
guest_boot() {
	local limit_all=900 label=$1 kernel=$2 append=$3 t line kind name secs why report last_at=$SECONDS limit=600 lines=0 guest
	FATE='' LAST='' FAILED='' REPORTED=' '
	for t in "${PLAN[@]}"; do limit_all=$((limit_all + $(limit_of "$t"))); done
	if [ -n "$SOAK" ]; then limit_all=40000; fi
	{
		echo "cat >/run/lab/plan <<'END'"
		for t in "${PLAN[@]}"; do echo "${t%%.*} ${t#*.} $(limit_of "$t")"; done
		echo END
		echo 'exec bash /build/src/tests/guest/runner'
	} >"$RUN/script-$label"
	say "guest '$label': $kernel kernel, ${#PLAN[@]} tests${append:+, $append}"
	rm -rf "$G"
	set -m
	"$LAB_SRC/scripts/guest" --kernel "$kernel" --timeout "$limit_all" ${SOAK:+--memory 6G} --append "$append" \
		${MODULES:+--modules "$MODULES"} "$RUN/script-$label" >"$LOGS/guest-$label.log" 2>&1 </dev/null &
	guest=$!
	set +m
	trap 'kill -TERM -- -'$guest' 2>/dev/null; exit 130' INT TERM
	while :; do
		while [ "$lines" -lt "$(lines_of "$G/results")" ] && [ -z "$FATE" ]; do
			lines=$((lines + 1))
			line=$(sed -n "${lines}p" "$G/results")
			read -r kind name secs why <<<"$line"
			last_at=$SECONDS
			case $kind in
			begin)
				# It has a minute to clean up when its time is over.
				LAST=$name limit=$((secs + 120))
				# Once the kernel has reported a bug it stops looking for some kinds.
				if [ $lines = 1 ]; then
					log_has_come "$name" begin
					if [ -n "$(report_in boot)" ]; then FATE=unfit LAST=''; fi
				fi
				;;
			ok | not-ok | skip)
				log_has_come "$name"
				report=$(report_in "$name")
				if [ -n "$report" ]; then
					REPORTED+="$name "
					result not-ok "$label.$name" "kernel log: $report"
				elif [ "$kind" = ok ]; then
					result ok "$label.$name" "$secs s"
				else
					result "$kind" "$label.$name" "$why"
				fi
				PLAN=("${PLAN[@]:1}")
				LAST='' limit=120
				# Later tests want a kernel that still looks, a driver that works, and a cluster that is well. Where many tests
				# fail, those that are least likely to do damage must share a guest.
				case $kind:$name in
				not-ok:driver.* | not-ok:many.own_majors | not-ok:selftest.* | not-ok:fault.* | not-ok:net.* | not-ok:tickets.* | not-ok:alloc.* | \
					not-ok:memory.* | not-ok:unmap.* | not-ok:mons.*) FATE=again FAILED=$name ;;
				not-ok:*) if [ -n "$report" ] || [ "$boots" -le 4 ]; then FATE=again FAILED=$name; fi ;;
				*) if [ -n "$report" ]; then FATE=again FAILED=$name; fi ;;
				esac
				;;
			done) FATE=done ;;
			esac
		done
		case $FATE in
		again | unfit) kill -TERM -- -"$guest" 2>/dev/null || true; break ;;
		esac
		if ! kill -0 "$guest" 2>/dev/null; then
			if [ "$lines" -ge "$(lines_of "$G/results")" ]; then break; fi
			continue
		fi
		# A lane does not outlive the run.
		if ! kill -0 $$ 2>/dev/null; then
			kill -TERM -- -"$guest" 2>/dev/null
			exit 130
		fi
		if [ $((SECONDS - last_at)) -gt $limit ]; then
			say "guest '$label' gives no sign of life: ending it"
			rm -f "$G/ends"
			kill -TERM -- -"$guest" 2>/dev/null || true
			break
		fi
		sleep 0.5
	done
	wait "$guest" 2>/dev/null || true
	trap 'exit 130' INT TERM
	: "${FATE:=dead}"
}

# guest_pass LABEL KERNEL APPEND CLUSTER TEST…   runs the tests in a guest, and in another one when it dies.
guest_pass() {
	local label=$1 kernel=$2 append=$3 args=$4 t boots=0 unfit=0 unloaded=0 line logs same_cluster first=(driver.load)
	shift 4
	# What each guest begins with.
	case " $* " in *' leak.baseline '*) first=(leak.baseline driver.load) ;; esac
	PLAN=()
	for t in $(tests_of "$@"); do
		if wanted "$t"; then PLAN+=("$t"); fi
	done
	# Nothing but loading and unloading was left by TESTS. Asked for by name, the first pass does that.
	if [ -n "$TESTS" ] && [ ${#PLAN[@]} -le 2 ]; then
		case "$label $TESTS " in debug*' driver.load '* | debug*' driver.unload '*) ;; *) return 0 ;; esac
	fi
	if [ "$DRIVER" = rust ]; then MODULES=$("$LAB_SRC/scripts/build-modules" --dir "$kernel"); else MODULES=''; fi
	cluster "$args" || { not_run "$label" 'the cluster did not start' "${PLAN[@]}"; return 0; }
	G=$RUN/guest-1
	while [ ${#PLAN[@]} -gt 0 ]; do
		boots=$((boots + 1))
		if [ $boots -gt 10 ]; then
			not_run "$label" 'too many guests were lost' "${PLAN[@]}"
			return 0
		fi
		guest_boot "$label" "$kernel" "$append"
		logs=$LOGS/$label-$boots same_cluster=''
		mkdir -p "$logs"
		cp "$G/console.log" "$G"/out.* "$logs/" 2>/dev/null || true
		if [ "$FATE" = unfit ]; then
			unfit=$((unfit + 1))
			if [ $unfit -le 2 ]; then
				warn "the kernel reported a bug of its own while booting ($(report_in boot)); booting again"
				continue
			fi
			result not-ok "$label.boot" "kernel log: $(report_in boot)"
			not_run "$label" 'no guest comes up clean' "${PLAN[@]}"
			return 0
		fi
		# Reports that came between tests, or so late that the result of a test does not tell of them.
		while IFS=$'\t' read -r t line; do
			case "$REPORTED$LAST " in *" $t "*) continue ;; esac
			result not-ok "$label.$t" "kernel log: $(cut -c1-150 <<<"$line")"
		done < <(splats_by_test "$G/console.log" 2>/dev/null | awk -F '\t' '$1 != "boot" && !n[$1]++')
		case $FATE:$LAST in
		done:*)
			not_run "$label" 'the guest ended before' "${PLAN[@]}"
			return 0
			;;
		again:*)
			case $FAILED in
			driver.load)
				# Once may be for what was there before it.
				unloaded=$((unloaded + 1))
				if [ $unloaded -ge 2 ]; then
					not_run "$label" 'the driver does not load' "${PLAN[@]}"
					return 0
				fi
				;;
			driver.unload)
				not_run "$label" 'the driver does not unload' "${PLAN[@]}"
				return 0
				;;
			esac
			;;
		dead:)
			result not-ok "$label.boot" "the guest ended outside of tests (see $logs/console.log)"
			if [ $boots -ge 2 ]; then
				not_run "$label" 'the guest does not stay up' "${PLAN[@]}"
				return 0
			fi
			;;
		dead:*)
			line=$(report_in "$LAST")
			if [ -e "$G/ends" ] && [ -z "$line" ]; then
				result ok "$label.$LAST" 'it ended its guest'
				same_cluster=1
			else
				result not-ok "$label.$LAST" "the guest died or hung${line:+: $line}"
			fi
			PLAN=("${PLAN[@]:1}")
			if [ "$LAST" = driver.load ]; then
				not_run "$label" 'loading the driver ends the guest' "${PLAN[@]}"
				return 0
			fi
			;;
		esac
		if [ ${#PLAN[@]} -gt 0 ]; then
			case ${PLAN[0]} in
			selftest.* | driver.load | leak.baseline) ;;
			leak.*_unloaded) PLAN=("${first[@]}" driver.unload "${PLAN[@]}") ;;
			*) PLAN=("${first[@]}" "${PLAN[@]}") ;;
			esac
			# The cluster may be in whatever state the test left it.
			if [ -n "$same_cluster" ]; then continue; fi
			CLUSTER=''
			cluster "$args" || { not_run "$label" 'the cluster did not start again' "${PLAN[@]}"; return 0; }
		fi
	done
}

# The tests of image features are shared out among the two kernels, as they take three times as long on the debug one; with SOAK
# each kernel gets all of them. These go to the debug kernel:
ON_DEBUG='fs.ext4 fs.xfs fs.stress_xfs clone.v2 clone.overlap clone.snapshots clone.flatten_locked lock.given_up lock.two_mappings lock.dead_owner lock.blocklisted
	objmap.objects objmap.vanished objmap.clone objmap.together beside.operator'
# And these are for SOAK alone:
ON_SOAK='fs.stress_xfs fsx.layering fsx.striped fsx.direct beside.bench beside.nbd beside.lock_feature beside.rollback beside.lock_rm_only
	objmap.map_lock_broken objmap.map_damaged pool.many_objects'
shared() { # KERNEL
	local t on
	for t in $(tests_of fs clone lock objmap beside stripe pool discard ro options many fsx); do
		case " ${ON_DEBUG//[$'\n\t']/ } " in *" $t "*) on=debug ;; *) on=stock ;; esac
		case " ${ON_SOAK//[$'\n\t']/ } " in *" $t "*) if [ -z "$TESTS" ]; then on=soak; fi ;; esac
		# 6,000 operations on the debug kernel would take hours.
		case $t in fsx.*) if [ $on = soak ] && [ -n "$SOAK" ]; then on=stock; fi ;; *) if [ -n "$SOAK" ]; then on=$1; fi ;; esac
		if [ $on = "$1" ]; then echo "$t"; fi
	done
}
# The faults; in a check each kind over one of the messengers.
SOAK_ONLY='fault.osd_restart_v2 fault.socket_failures_v1 net.netem_v2 alloc.io_v1 memory.swap'
faults() {
	local t
	for t in $(tests_of fault net alloc memory); do
		case " $SOAK_ONLY " in *" $t "*) if [ -n "$SOAK$TESTS" ]; then echo "$t"; fi ;; *) echo "$t" ;; esac
	done
}
# The passes of a lane. The debug kernel does the work; Debian's own shows that a user's kernel is served.
lane() { # main|side
	case $1 in
	main)
		guest_pass debug debug '' '--osds 3' selftest driver.load map io snap errors $(shared debug) $(faults) \
			unmap driver.own_major driver.open_files driver.lockdep driver.unload
		;;
	side)
		guest_pass stock stock '' '--osds 3' driver.load map.echo map.tool io.verify_v2 $([ -n "$SOAK" ] || echo fs.ext4) $(shared stock) driver.unload
		# What a newcomer runs first.
		if [ -z "$TESTS" ]; then check demo "$LOGS/demo.log" "$LAB_SRC/scripts/demo" || true; fi
		guest_pass leak debug 'kmemleak=on slab_debug=U,kmalloc-*' '--osds 3' \
			leak.baseline driver.load leak.slabs map.echo map.msgr1 io.flush snap.resize clone.v2 objmap.objects lock.given_up \
			errors.missing leak.scan driver.lockdep driver.unload leak.slabs_unloaded leak.scan_unloaded
		guest_pass ipv6 debug '' '--ipv6 --osds 2 --conf auth_service_ticket_ttl=8 --conf auth_mon_ticket_ttl=16' \
			driver.load map.echo map.msgr1 io.roundtrip_v2 tickets.v2 $([ -z "$SOAK$TESTS" ] || echo tickets.v1) crash driver.lockdep driver.unload
		# As a real cluster is: several monitors, and a store that is no toy.
		guest_pass bluestore debug '' '--mons 3 --store bluestore' \
			driver.load mons fault.osds_at_random io.roundtrip_v2 io.discard pool.erasure_coded driver.lockdep driver.unload
		;;
	esac
}
# Two guests at a time, each beside a cluster of its own, where the machine has room for them.
part_guest() {
	no_such_tests
	if [ "$(lanes)" = 1 ]; then run_lane main side; else side_by_side 'run_lane main' 'run_lane side'; fi
	if ! grep -qE $'^[a-z-]+\t(debug|stock|leak|ipv6|bluestore)\\.' "$RESULTS"; then result not-ok guest.none 'no test was run'; fi
}
# A word of TESTS that names nothing is a mistake, and no reason to be content.
no_such_tests() {
	local f t w all=''
	for f in "$LAB_SRC"/tests/guest/*.sh; do
		f=${f##*/}
		all+=" $(tests_of "${f%.sh}")"
	done
	# Not a loop over $TESTS, in which the shell would replace a pattern by file names, or by nothing.
	while read -r w; do
		for t in $all; do
			case $t in "$w" | "$w".*) continue 2 ;; esac
		done
		result not-ok "guest.$w" 'TESTS: no such test'
	done < <(grep -oE '[^[:space:]]+' <<<"$TESTS")
}
run_lane() { # LANE…
	local l
	in_run "$1"
	for l in "$@"; do lane "$l"; done
	if [ -d "$RUN" ]; then keep_logs; fi
}

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The part `guest` of tests/run: plans, boots, and what becomes of a guest that dies.

# What is allowed to take long, in seconds under emulation on the debug kernel. All others: 90.
limit_of() {
	case $1 in
	fs.xfs) echo 240 ;;
	fs.* | fault.* | map.loop | errors.unreachable | errors.wrong_key | io.verify*) echo 180 ;;
	*) echo 90 ;;
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

# guest_pass LABEL KERNEL APPEND TEST…   boots a guest and runs the tests in it; boots again for the rest when it dies.
guest_pass() {
	local label=$1 kernel=$2 append=$3 plan=() t boots=0 guest last last_at limit name why extra line seen lines now
	shift 3
	for t in $(tests_of "$@"); do
		if wanted "$t"; then plan+=("$t"); fi
	done
	# Nothing but loading and unloading was left by TESTS.
	if [ -n "$TESTS" ] && [ ${#plan[@]} -le 2 ]; then return 0; fi
	while [ ${#plan[@]} -gt 0 ]; do
		boots=$((boots + 1))
		if [ $boots -gt 5 ]; then
			for t in "${plan[@]}"; do result not-ok "$label.$t" 'not run: the guest died too often'; done
			return 0
		fi
		{
			echo "cat >/run/lab/plan <<'PLAN'"
			for t in "${plan[@]}"; do echo "${t%%.*} ${t#*.} $(limit_of "$t")"; done
			echo PLAN
			echo 'exec bash /build/src/tests/guest/runner'
		} >"$RUN/script-$label"
		say "guest '$label': $kernel kernel, ${#plan[@]} tests${append:+, $append}"
		local G=$RUN/guest-1
		rm -rf "$G"
		set -m
		"$LAB_SRC/scripts/guest" --kernel "$kernel" --timeout 3000 --append "$append" \
			${MODULES:+--modules "$MODULES"} "$RUN/script-$label" >"$LOGS/guest-$label.log" 2>&1 </dev/null &
		guest=$!
		set +m
		trap 'kill -TERM -- -'$guest' 2>/dev/null; exit 130' INT TERM
		last='' last_at=$SECONDS limit=300 lines=0 seen=''
		while :; do
			now=$(cat "$G/results" 2>/dev/null | wc -l)
			while [ "$lines" -lt "$now" ]; do
				lines=$((lines + 1))
				line=$(sed -n "${lines}p" "$G/results")
				# shellcheck disable=SC2086
				set -- $line
				case $1 in
				begin) last=$2 limit=$(($3 + 45)) last_at=$SECONDS ;;
				ok | not-ok | skip)
					name=$2 extra="$3 s" why=${line#"$1 $2 $3"}
					sleep 0.3
					local report
					report=$(splats_by_test "$G/console.log" | awk -F '\t' -v t="$name" '$1 == t { print $2; exit }' | cut -c1-150)
					if [ -n "$report" ]; then
						result not-ok "$label.$name" "kernel log: $report"
					elif [ "$1" = ok ]; then
						result ok "$label.$name" "$extra"
					else
						result "$1" "$label.$name" "${why# }"
					fi
					plan=("${plan[@]:1}")
					last=''
					last_at=$SECONDS limit=60
					;;
				done) seen=1 limit=60 last_at=$SECONDS ;;
				esac
			done
			if ! kill -0 "$guest" 2>/dev/null; then
				if [ "$lines" = "$(cat "$G/results" 2>/dev/null | wc -l)" ]; then break; fi
				continue
			fi
			if [ $((SECONDS - last_at)) -gt $limit ]; then
				say "guest '$label' gives no sign of life: ending it"
				kill -TERM -- -"$guest" 2>/dev/null || true
				wait "$guest" 2>/dev/null || true
			fi
			sleep 0.5
		done
		wait "$guest" 2>/dev/null || true
		trap 'exit 130' INT TERM
		cp "$G/console.log" "$LOGS/console-$label-$boots.log" 2>/dev/null || true
		mkdir -p "$LOGS/out-$label" && cp "$G"/out.* "$LOGS/out-$label/" 2>/dev/null || true
		# Reports that came during no test.
		splats_by_test "$G/console.log" 2>/dev/null | awk -F '\t' '$1 == "boot" || $1 ~ /^after:/ { if (!n[$1]++) print }' >"$RUN/between" || true
		while IFS=$'\t' read -r t line; do result not-ok "$label.$t" "kernel log: $(cut -c1-150 <<<"$line")"; done <"$RUN/between"
		if [ -n "$seen" ]; then break; fi
		if [ -z "$last" ]; then
			result not-ok "$label.boot" "the guest ended before its tests (console: $LOGS/console-$label-$boots.log)"
			if [ $boots -ge 2 ]; then
				for t in "${plan[@]}"; do result not-ok "$label.$t" 'not run: the guest does not come up'; done
				return 0
			fi
		else
			why=$(splats_by_test "$G/console.log" | awk -F '\t' -v t="$last" '$1 == t { print $2; exit }' | cut -c1-150)
			result not-ok "$label.$last" "the guest died or hung${why:+: $why}"
			plan=("${plan[@]:1}")
			if [ ${#plan[@]} -gt 0 ] && [ "$last" != driver.load ]; then plan=(driver.load "${plan[@]}"); fi
			if [ "$last" = driver.load ]; then
				for t in "${plan[@]}"; do result not-ok "$label.$t" 'not run: loading the driver kills the guest'; done
				return 0
			fi
			# The cluster may be in whatever state the test left it.
			cluster "${CLUSTER_ARGS[@]}"
		fi
	done
}

part_guest() {
	# The emulated processor has no lack of time, the machine has: the smoke test shows that Debian's kernel is served, the debug
	# kernel does the work.
	MODULES=''
	if [ "$DRIVER" = rust ]; then MODULES=$("$LAB_SRC/scripts/build-modules" --dir debug); fi
	cluster || { result not-ok cluster "it did not start"; return 0; }
	guest_pass debug debug '' selftest.abstractions driver.load map io snap fs errors fault driver.own_major driver.unload
	if [ -n "$MODULES" ]; then MODULES=$("$LAB_SRC/scripts/build-modules" --dir stock); fi
	guest_pass stock stock '' driver.load map.echo map.tool io.verify_v2 fs.ext4 driver.unload
	if [ -n "$MODULES" ]; then MODULES=$("$LAB_SRC/scripts/build-modules" --dir debug); fi
	guest_pass leak debug kmemleak=on leak.baseline driver.load map.echo map.msgr1 map.several io.flush snap.resize errors.missing leak.scan driver.unload leak.scan_unloaded
	cluster --ipv6 --osds 2 || { result not-ok cluster-ipv6 "it did not start"; return 0; }
	guest_pass ipv6 debug '' driver.load map.echo map.msgr1 io.roundtrip_v2 driver.unload
}

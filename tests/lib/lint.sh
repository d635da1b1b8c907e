# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The part `lint` of tests/run: rules that need nothing but the files.

sources() { (cd "$LAB_SRC" && git -c safe.directory='*' ls-files --cached --others --exclude-standard -- "$@" | while read -r f; do if [ -f "$f" ]; then echo "$f"; fi; done); }

lint_spdx() {
	local f bad=0
	while read -r f; do
		case $f in COPYING | *.json | *.lock | *.bin | *.hex | *.txt | */vectors/* | *.proptest-regressions) continue ;; esac
		if ! head -n 3 "$LAB_SRC/$f" | grep -q 'SPDX-License-Identifier: GPL-2.0'; then echo "no SPDX line: $f"; bad=1; fi
	done < <(sources)
	return $bad
}
lint_unsafe() {
	local f bad=0
	while read -r f; do
		case $f in */abstractions/*) continue ;; esac
		# Comments may use the word, and so may the lint that forbids it.
		if sed 's|//.*||' "$LAB_SRC/$f" | grep -nE '\bunsafe\b' | grep -vE 'unsafe_code|unsafe_op_in_unsafe_fn'; then echo "unsafe in $f"; bad=1; fi
	done < <(sources 'net_ceph/*.rs' 'rbd/*.rs')
	return $bad
}
lint_safety_comments() {
	local f bad=0
	while read -r f; do
		# Every unsafe block or impl has a SAFETY comment within the lines above it.
		awk -v f="$f" '
			/\/\/ SAFETY:|# Safety/ { ok = NR }
			{ line = $0; sub(/\/\/.*/, "", line) }
			line ~ /(^|[^a-z_])unsafe([ ]*\{| impl)/ && (ok == 0 || NR - ok > 12) { print f ":" NR ": no SAFETY comment"; bad = 1 }
			END { exit bad }' "$LAB_SRC/$f" || bad=1
	done < <(sources 'net_ceph/*.rs' 'rbd/*.rs')
	return $bad
}
lint_length() {
	local f n bad=0
	while read -r f; do
		n=$(wc -l <"$LAB_SRC/$f")
		if [ "$n" -gt 650 ]; then echo "$f has $n lines"; bad=1; fi
	done < <(sources '*.rs' '*.sh' '*.c' '*.h')
	return $bad
}
lint_todo() {
	! (cd "$LAB_SRC" && grep -nE '\b(TODO|FIXME|XXX|unimplemented!|todo!)' $(sources 'net_ceph/*' 'rbd/*' 'include/*' 'scripts/*' 'Documentation/*'))
}
lint_shell() {
	local f bad=0
	while read -r f; do
		case $(head -n1 "$LAB_SRC/$f") in *bash* | *SPDX*) bash -n "$LAB_SRC/$f" || bad=1 ;; esac
	done < <(sources 'scripts/*' tests/run 'tests/lib/*' 'tests/guest/*' 'tests/bench/*' .ci/run | grep -vE '\.(config|list|c|rs|py|json|toml|md)$|Kbuild|Makefile')
	return $bad
}
lint_rustfmt() {
	local f files=()
	while read -r f; do files+=("/build/src/$f"); done < <(sources '*.rs' | grep -v /vectors/)
	in_tree rustfmt --edition 2021 --check --config skip_children=true "${files[@]}" 2>&1 | head -n 60
	[ "${PIPESTATUS[0]}" = 0 ]
}

part_lint() {
	local l log=$LOGS/lint-sources.log
	# Without a list of files every lint would be content.
	if ! sources >"$log" 2>&1 || [ ! -s "$log" ]; then
		result not-ok lint.sources "needs git, and a checkout: $(tail -n1 "$log")"
		return 0
	fi
	for l in spdx unsafe safety_comments length todo shell; do
		if lint_$l </dev/null >"$LOGS/lint-$l.log" 2>&1; then
			result ok "lint.$l"
		else
			result not-ok "lint.$l" "$(head -n1 "$LOGS/lint-$l.log") ($(wc -l <"$LOGS/lint-$l.log") lines in $LOGS/lint-$l.log)"
		fi
	done
	if lint_rustfmt </dev/null >"$LOGS/lint-rustfmt.log"; then result ok lint.rustfmt; else result not-ok lint.rustfmt "log: $LOGS/lint-rustfmt.log"; fi
}

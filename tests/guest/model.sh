# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Content: a model of each image is kept on the host as a plain file; what is done to the device is done to the file, and
# both the device and what other clients see must equal it. Sourced by `lib.sh`.
#
# Commands for the host are collected and sent together: each trip there takes a third of a second, and each process in
# the guest about as long.

DATA=/build/run/guest-$GUEST_ID/data
mkdir -p $LAB/data
MODEL=''	# the model that put, zero and trim change
TODO=''		# what the host has not been told yet
PUTS=0

# image NAME SIZE [OPTIONS OF rbd create]   an image with the cluster's default features, unless options say otherwise
image() {
	local name=$1 size=$2
	shift 2
	create --size "$size" "$@" "$name"
}

# source_pattern   8 MiB of random bytes, known on both sides: PATTERN, PATTERN_HOST. Made once in a guest.
source_pattern() {
	PATTERN=/run/pattern.source PATTERN_HOST=$DATA/source
	if [ ! -e $PATTERN ]; then pattern source 8; fi
}

todo() { TODO+="$*"$'\n'; }
# Tells the host what it has not been told, and more. Not for use in a subshell, which would forget that it did.
sync_host() {
	local script="set -e; cd $DATA
$TODO$*"
	TODO=''
	host "$script"
}

# model NAME SIZE [PATTERN]   a model of SIZE bytes: zeroes, or the pattern's beginning
model() {
	source_pattern
	MODEL=$1
	if [ -n "${3:-}" ]; then
		todo "head -c $2 $PATTERN_HOST >m.$1"
	else
		todo "rm -f m.$1; truncate -s $2 m.$1"
	fi
}
model_copy() { todo "cp --sparse=always m.$1 m.$2"; }
# What resizing does: bytes cut off are zeroes when they come back.
model_size() { todo "truncate -s $1 m.$MODEL"; }

# put OFFSET LENGTH   writes other random bytes each time, to the device and to the model. Multiples of 512, 4 MiB at most
put() {
	local from=$(((PUTS * 37 * 4096) % 4194304))
	PUTS=$((PUTS + 1))
	dd if=$PATTERN of="$DEV" bs="$2" count=1 iflag=skip_bytes skip=$from oflag=direct,seek_bytes seek="$1" conv=notrunc 2>/run/err ||
		fail "write of $2 bytes at $1: $(cat /run/err)"
	todo "dd if=$PATTERN_HOST of=m.$MODEL bs=$2 count=1 iflag=skip_bytes skip=$from oflag=seek_bytes seek=$1 conv=notrunc status=none"
}
# The model's part alone, for what the device does otherwise.
model_zero() { # OFFSET LENGTH
	todo "fallocate -p -o $1 -l $2 m.$MODEL"
}
# zero OFFSET LENGTH   write-zeroes
zero() {
	blkdiscard -z -o "$1" -l "$2" "$DEV" || fail "zero-out of $2 bytes at $1"
	model_zero "$1" "$2"
}

# Each asks another client: IMAGE[@SNAP] must equal the model.
export_is() { # IMAGE MODEL [IMAGE MODEL]…
	local script=''
	while [ $# -ge 2 ]; do
		script+="rbd export --no-progress $1 - | cmp - m.$2 || { echo 'the image $1 differs from model $2'; exit 1; }"$'\n'
		shift 2
	done
	sync_host "$script" >/run/err || fail "another client sees other data: $(tail -n 2 /run/err | tr '\n' ' ')"
}
# device_is MODEL [DEV]   what the device reads must equal the model. Read in a size that does not fit objects, past any cache
device_is() {
	local want got size
	sync_host "echo \$(md5sum <m.$1 | cut -c1-32) \$(stat -c %s m.$1)" >/run/want
	read -r want size </run/want
	eq "$(blockdev --getsize64 "${2:-$DEV}")" "$size" "size of ${2:-$DEV}"
	got=$(dd if="${2:-$DEV}" bs=786432 iflag=direct 2>/run/err | md5sum | cut -c1-32)
	if [ "$got" != "$want" ]; then
		dd if="${2:-$DEV}" bs=786432 iflag=direct of=$LAB/data/seen 2>/run/err
		fail "${2:-$DEV} differs from the model: $(host "cmp $DATA/seen $DATA/m.$1; cmp -l $DATA/seen $DATA/m.$1 | wc -l" | tr '\n' ' ')"
	fi
}
# zero_or_old MODEL IMAGE   what discard may leave: each 512 bytes of the device, saved as `seen`, are the model's or zeroes;
# another client sees the same. The model becomes what was seen.
zero_or_old() {
	sync_host "rbd export --no-progress $2 - | cmp - seen
python3 -c \"
seen, was = open('seen', 'rb').read(), open('m.$1', 'rb').read()
assert len(seen) == len(was), 'length'
for at in range(0, len(was), 512):
    if seen[at:at + 512] not in (was[at:at + 512], bytes(512)): raise SystemExit(f'neither old nor zero: {at}')
\"
cp seen m.$1" >/run/err || fail "content after discard: $(tail -n1 /run/err)"
}
both_are() { # MODEL IMAGE
	export_is "$2" "$1"
	device_is "$1"
}

# The numbers of the data objects an image has, as one line.
objects() { # POOL[/NS] IMAGE_ID
	local pool=${1%%/*} ns=''
	case $1 in */*) ns="-N ${1#*/}" ;; esac
	host "for o in \$(rados -p $pool $ns ls | sed -n 's/^rbd_data\\.\\([0-9]*\\.\\)\\?$2\\.//p' | sort); do printf '%d ' 0x\$o; done" | sed 's/ $//'
}
# The same with the size of each object: "NUMBER:SIZE …".
objects_sizes() { # POOL IMAGE_ID
	host "for o in \$(rados -p $1 ls | grep '^rbd_data\\.\\([0-9]*\\.\\)\\?$2\\.' | sort); do printf '%d:%s ' 0x\${o##*.} \$(rados -p $1 stat \$o | sed 's/.*size //'); done" | sed 's/ $//'
}

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Freezes the contract of the version that abi/tenon_base.h names: headers, layout, export list, and libabigail's view of the library.
#     abi/snapshot/update.sh [build folder]
# For a version that has not been released yet it is run again; a released one is never rewritten (see ABI.md, "Snapshots").
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$root/build}
library=$build/libtenon.so
number() { sed -n "s/^#define TENON_VERSION_$1 *\([0-9]*\)\$/\1/p" "$root/abi/tenon_base.h"; }
name=tenon-$(number MAJOR).$(number MINOR)
cd "$root/abi/snapshot"

if ! readelf -S "$library" | grep -q '\.debug_info'; then
    echo "$library has no debug information: libabigail would see nothing and find nothing" >&2
    exit 1
fi
mkdir -p "$name"
rm -f "$name"/*.h
cp "$root"/abi/*.h "$name/"
TENON_LIBRARY=$library "$build/abi_layout" > "$name.layout"
nm -D --defined-only "$library" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort > "$name.symbols"
abidw --exported-interfaces-only --no-corpus-path --no-comp-dir-path --no-show-locs --suppressions private_types.suppr "$library" |
    sed "s#path='[^']*/#path='#" > "$name.abi"
wc -l "$name.layout" "$name.symbols" "$name.abi"

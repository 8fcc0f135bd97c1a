# SPDX-License-Identifier: Apache-2.0
"""python -m tenon info: the library, the backends and devices, the kernels, and why what is missing is missing."""

import argparse
import json
import sys

import tenon
from tenon import _abi, _library, schema


def collect(context):
    version = _abi.table().version
    return {
        "package": tenon.__version__,
        "library": str(_library.path()),
        "abi": f"{version >> 16}.{version & 0xffff}",
        "python": sys.version.split()[0],
        "devices": [vars(d) for d in context.devices()],
        "kernels": [vars(k) for k in context.kernels()],
    }


def show(facts, out):
    out.write(f"tenon {facts['package']}, ABI {facts['abi']}, Python {facts['python']}\nlibrary {facts['library']}\n\n")
    out.write("backends and devices\n")
    for d in facts["devices"]:
        if d["available"]:
            memory = f", {d['memory_bytes'] / 2**30:.1f} GiB" if d["memory_bytes"] else ""
            out.write(f"  {d['backend']}:{d['device_id']}  {d['name']}, {d['n_units']} units{memory}\n      {d['feature_text']}\n")
        else:
            out.write(f"  {d['backend']}    not available: {d['reason']}\n")
    out.write("\nkernels, in the order of selection\n")
    for op in schema.ops():
        out.write(f"  {op}\n")
        for k in (k for k in facts["kernels"] if k["op"] == op):
            status = f"checked on {k['checked_on']}" if k["available"] else f"not here: {k['reason']}"
            traits = ", ".join(t.lower().replace("_", " ") for t in k["traits"])
            out.write(f"    {k['backend']:5} {k['name']:44} {status}{'; ' + traits if traits else ''}\n")


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tenon", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="what this library and this machine have")
    info.add_argument("--json", action="store_true", help="as JSON")
    args = parser.parse_args(argv)
    facts = collect(tenon.default_context())
    if args.json:
        json.dump(facts, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        show(facts, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""The folders are layers: a file includes only what its folder may know, and names the folder.

usage: layers_test.py [TREE]      another tree in place of this one
"""

import pathlib
import re
import sys

TREE = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[1]

BASE = {"base"}
HOST = BASE | {"host"}
CONFIG = BASE | {"config"}
REGISTRY = HOST | CONFIG | {"registry"}
TOKEN = CONFIG | {"token"}
SESSION = REGISTRY | TOKEN | {"session"}
SHARED = SESSION | {"common", "varlink"}
MAY_INCLUDE = {
    "lib/base": BASE,
    "lib/host": HOST,
    "lib/config": CONFIG,
    "lib/registry": REGISTRY,
    "lib/token": TOKEN,
    "lib/session": SESSION,
    "lib/capi": SESSION | {"capi"},
    "pam_module": SESSION,
    "tools/varlink": BASE | {"varlink"},
    "tools/common": SESSION | {"common"},
    "tools/sessreg": SHARED | {"sessreg"},
    "tools/sessregd": SHARED | {"sessregd"},
    "tools/playground": SESSION,
}
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
# The registry's own affairs: whoever includes them is built anew when the algorithm is touched.
INNER = {f"registry/{name}" for name in ("failure_store.h", "failure_table.h", "gate.h", "layout.h", "older_layout.h", "presence.h",
                                         "registry_file.h", "registry_internal.h", "slots.h", "this_boot.h",
                                         "unmapped.h", "words.h")}
# The module runs inside sshd: it signs tokens, and has no use for code that parses them.
NOT_IN_MODULE = {"token/token_verify.h"}


def faults_of(folder, path):
    for include in INCLUDE.findall(path.read_text()):
        layer = include.split("/")[0] if "/" in include else None
        if layer is None and folder == "pam_module":
            continue  # its own neighbours
        if layer not in MAY_INCLUDE[folder]:
            yield f"may not include {include}"
        elif not any((TREE / root / include).is_file() for root in ("lib", "tools")):
            yield f"includes {include}, which is not there"
        if include in INNER and not folder.startswith("lib/registry"):
            yield f"may not include {include}, which is lib/registry's own"
        if include in NOT_IN_MODULE and folder == "pam_module":
            yield f"may not include {include}"


def main():
    files = [path for root in ("lib", "tools", "pam_module") for path in sorted((TREE / root).rglob("*"))
             if path.suffix in (".cc", ".h")]
    faults = []
    for path in files:
        place = path.relative_to(TREE)
        folder = next((f for f in MAY_INCLUDE if place.is_relative_to(f)), None)
        found = faults_of(folder, path) if folder else ["lies in no layer"]
        faults += [f"{place}: {fault}" for fault in found]
    print("\n".join(faults + [f"{len(files)} files, {len(faults)} faults"]))
    sys.exit(1 if faults or not files else 0)


if __name__ == "__main__":
    main()

"""Makes the compact table of protobuf field numbers that `kube.api.schema.protobuf` reads.

    ./dev exec python tools/make_protobuf_facts.py <protobuf-fields.json>

The input is message -> field -> [number, type] of the public Kubernetes definitions, with its
sources named under `about`. Alpha and beta versions are left out, except where they are served.
"""

import gzip
import json
import sys
from pathlib import Path

TARGET = Path("src/ekslab/kube/api/schema/facts/protobuf.json.gz")


def main(source: str) -> None:
    """Write the table."""
    table = json.loads(Path(source).read_text())
    messages = {
        name: fields
        for name, fields in sorted(table["messages"].items())
        if name.startswith("k8s.io.") and "v1alpha" not in name
    }
    text = json.dumps({"about": table["about"], "messages": messages}, separators=(",", ":"))
    TARGET.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{TARGET}: {len(messages)} messages, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])

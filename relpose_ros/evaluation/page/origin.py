"""Where the numbers come from: map, command, versions, machine, date."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from relpose_ros.evaluation import words


def origin(results: Mapping[str, Any]) -> str:
    """A table of what is needed to measure this again."""
    rows = [(name, value) for name, value in _facts(results) if value]
    body = "".join(f"<tr><td>{escape(n)}</td><td><code>{escape(v)}</code></td></tr>" for n, v in rows)
    return f'<h2>Where this comes from</h2><div class="card"><table class="stack">{body}</table></div>'


def _facts(r: Mapping[str, Any]) -> list[tuple[str, str]]:
    machine = r["hardware"]
    versions = ", ".join(f"{k} {v}" for k, v in r["software"].items() if v)
    extent = words.length(r.get("scene_extent"), r["metric"])
    hardware = f"{machine.get('processor')}, {machine.get('cores')} cores, {machine.get('memory_gib')} GiB, "
    return [
        ("Measured", r["created"]),
        ("Command", r["command"]),
        ("Source", r["source"]),
        ("Map", _map(r["map"])),
        ("Scene extent", "" if extent == words.NONE else extent),
        ("Machine", hardware + str(machine.get("system"))),
        ("Versions", versions),
        ("Format", f"{r['schema']} version {r['schema_version']}"),
    ]


def _map(info: Mapping[str, Any]) -> str:
    seconds = info.get("build_seconds")
    parts = [
        str(info.get("name") or ""),
        f"{info['references']} references" if info.get("references") is not None else "",
        f"{info['landmarks']} landmarks" if info.get("landmarks") is not None else "",
        words.size(info.get("bytes")) if info.get("bytes") is not None else "",
        f"built in {seconds:.1f} s" if seconds is not None else "",
        f"features {info['feature']}" if isinstance(info.get("feature"), str) else "",
    ]
    return ", ".join(p for p in parts if p)

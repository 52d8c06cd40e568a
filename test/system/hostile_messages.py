"""Messages that nobody should send: any message type, spoilt field by field or byte by byte. Seeded."""

from __future__ import annotations

import copy
import importlib
import math
import random
import re
from typing import Any

from rclpy.serialization import serialize_message

FLOATS = (math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, 1e308, -1e308, 5e-324, 1e18, 1e-9, 1e6)
STRINGS = (
    "",
    "/",
    "//",
    "map",
    "odom",
    "/odom",
    "base_link",
    "camera_optical_frame",
    "\t\n",
    "ä中\U0001f916",
    "x" * 5000,
)
ENCODINGS = (
    "",
    "bgr8",
    "rgba8",
    "mono16",
    "32FC1",
    "bayer_rggb8",
    "yuv422",
    "8UC3",
    "jpeg",
    "png",
    "plumb_bob",
)
BITS = {"octet": 8, "byte": 8, "char": 8}


def message_type(name: str) -> Any:
    """The class of `package/msg/Name`."""
    package, _, kind = name.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), kind)


def spoilt(message: Any, random_: random.Random, most: int = 4) -> Any:
    """A copy in which 1 to `most` numbers, texts or lists are what nobody expects."""
    out = copy.deepcopy(message)
    places = leaves(out)
    for owner, field, kind in random_.sample(places, min(random_.randint(1, most), len(places))):
        setattr(out if owner is None else owner, field, nasty(kind, getattr(owner, field), random_))
    return out


def leaves(message: Any) -> list[tuple[Any, str, str]]:
    """(owner, field, type) of everything in a message that is no message itself."""
    found: list[tuple[Any, str, str]] = []
    for field, kind in message.get_fields_and_field_types().items():
        value = getattr(message, field)
        inner = value if kind.startswith("sequence<") or kind.endswith("]") else [value]
        if "/" not in kind:
            found.append((message, field, kind))
        else:
            found += [leaf for item in inner for leaf in leaves(item)]
    return found


def nasty(kind: str, value: Any, random_: random.Random) -> Any:
    """Something that fits into a field and has no business there."""
    if kind.startswith("sequence<"):
        item = kind.removeprefix("sequence<").partition(">")[0]
        count = random_.choice((0, 1, 3, 1000))
        return [_scalar(item, random_) for _ in range(count)]
    if fixed := re.fullmatch(r"(\w+)\[(\d+)\]", kind):
        out = list(value)
        for place in range(len(out)) if random_.random() < 0.5 else (random_.randrange(len(out)),):
            out[place] = _scalar(fixed[1], random_)
        return out
    return _scalar(kind, random_)


def _scalar(kind: str, random_: random.Random) -> Any:
    if kind == "boolean":
        return random_.random() < 0.5
    if kind.startswith("string"):
        return random_.choice(STRINGS + ENCODINGS)
    if kind in ("double", "float"):
        value = random_.choice((*FLOATS, random_.gauss(0.0, 1.0), random_.gauss(0.0, 1e5)))
        return value if kind == "double" or not math.isfinite(value) or abs(value) < 1e38 else 1e38
    bits = BITS.get(kind) or int(re.sub(r"\D", "", kind))
    low, high = (
        (0, 2**bits - 1)
        if kind.startswith("u") or kind in BITS
        else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )
    number = random_.choice((low, low + 1, 0, 1, high - 1, high, random_.randint(low, high)))
    return bytes([number]) if kind in ("octet", "byte") else number


def mutated(message: Any, random_: random.Random) -> bytes:
    """Its serialized bytes with some flipped, cut off, added, or none of them left."""
    raw = bytearray(serialize_message(message))
    way = random_.randrange(6)
    if way == 0:
        return bytes(raw[: random_.randrange(len(raw))])
    if way == 1:
        return bytes(raw) + random_.randbytes(random_.randint(1, 200))
    if way == 2:
        return random_.randbytes(random_.randint(0, 300))
    start = random_.randrange(len(raw))
    if way == 3:
        raw[start : start + 8] = random_.choice((b"\xff", b"\x00", b"\x7f")) * len(raw[start : start + 8])
        return bytes(raw)
    for place in random_.choices(range(min(len(raw), 400)), k=random_.choice((1, 3, 30))):
        raw[place] ^= 1 << random_.randrange(8)
    return bytes(raw)

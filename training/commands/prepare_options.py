"""Options that several `relpose prepare` actions have."""

from __future__ import annotations

import argparse


def add_source_format(parser: argparse.ArgumentParser) -> None:
    """`--source-format` and `--option`."""
    parser.add_argument("--source-format", metavar="NAME", help="format of SOURCE (default: recognised)")
    parser.add_argument(
        "-o", "--option", metavar="KEY=VALUE", action="append", default=[], dest="source_options",
        help="an option of that format, as image_topic=/camera/image_raw for a bag; may be given again",
    )  # fmt: skip


def add_worlds(parser: argparse.ArgumentParser, views: int) -> argparse._ArgumentGroup:
    """`--worlds`, `--first-world`, `--views`; the group, for more of them."""
    worlds = parser.add_argument_group("simulated worlds")
    worlds.add_argument("--worlds", type=int, default=10, metavar="N", help="how many (default 10)")
    worlds.add_argument("--first-world", type=int, default=0, metavar="N", help="number of the first")
    worlds.add_argument(
        "--views",
        type=int,
        default=views,
        metavar="N",
        help=f"images of each (default {views}; a third query)",
    )  # fmt: skip
    return worlds


def add_division(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """`--split` and `--divide`; the group, for who queries."""
    splits = parser.add_argument_group("splits and queries")
    splits.add_argument(
        "--split", default="train=0.8,val=0.2", metavar="SPLIT",
        help="shares (default train=0.8,val=0.2), or one of train, val, test",
    )  # fmt: skip
    splits.add_argument(
        "--divide", choices=("auto", "sources", "images"), default="auto",
        help="sources: each is in one split as a whole; images: each is divided; auto (default): the first "
        "if there are enough",
    )  # fmt: skip
    return splits

"""`make parity [PARITY_ARGS="--system imp"]`: the table of every golden; exit status 1 if one is missed."""

from __future__ import annotations

import argparse
import sys
import traceback

from tools.parity.case import GOLDENS, Case, Deviation, all_cases

ROW = "{:<12} {:<62} {:>12} {:>10}  {}"


def run_case(case: Case) -> tuple[Deviation, bool]:
    """The deviation that is worst for its tolerance, and whether all pass. A crash is a failure."""
    try:
        found = list(case.check())
    except Exception:  # noqa: BLE001 (the table goes on; the traceback says why)
        traceback.print_exc()
        return Deviation("raised an exception", float("nan"), 0.0), False
    if not found:
        return Deviation("compared nothing", float("nan"), 0.0), False
    return max(found, key=_severity), all(d.passed for d in found)


def _severity(found: Deviation) -> tuple[bool, float]:
    return not found.passed, found.largest / found.tolerance if found.tolerance else found.largest


def main() -> int:
    """Print one row per case and the counts."""
    parser = argparse.ArgumentParser(prog="make parity", description=__doc__)
    parser.add_argument("--system", help="only this golden folder")
    parser.add_argument("--what", default="", help="only cases whose description contains this")
    args = parser.parse_args()
    if not GOLDENS.is_dir():
        print(f"parity was NOT checked: no folder {GOLDENS}; set RELPOSE_GOLDENS", file=sys.stderr)
        return 2
    cases = [c for c in all_cases() if args.system in (None, c.system) and args.what in c.what]
    print(ROW.format("system", "what", "deviation", "tolerance", "pass"))
    failed = 0
    for case in cases:
        worst, passed = run_case(case)
        failed += not passed
        print(
            ROW.format(
                case.system,
                f"{case.what}: {worst.name}"[:62],
                f"{worst.largest:.2e}",
                f"{worst.tolerance:.0e}",
                "yes" if passed else "NO",
            ),
            flush=True,
        )
    print(f"{len(cases) - failed} of {len(cases)} pass, {failed} fail")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())

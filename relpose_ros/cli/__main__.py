"""`python -m relpose_ros.cli`."""

from relpose_ros.cli.main import main

raise SystemExit(main())

"""Metadata is in setup.cfg (which ament_cmake_python reads too); here is only what setup.cfg cannot say."""

from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
README = ROOT / "README.md"

TRAINING = [
    "relpose_training",
    *(f"relpose_training.{name}" for name in find_packages(str(ROOT / "training"))),
]

setup(
    packages=[*find_packages(str(ROOT), include=["relpose_ros", "relpose_ros.*"]), *TRAINING],
    # A module called `training` on everybody's path would be rude.
    package_dir={"relpose_training": "training"},
    package_data={
        "relpose_ros": [
            "py.typed",
            *(f"**/*.{kind}" for kind in ("css", "html", "js", "json", "svg", "xml", "yaml")),
        ],
        "relpose_training": ["**/*.sh", "**/*.yaml"],
    },
    data_files=[
        ("share/relpose_ros", ["package.xml"]),
        ("share/relpose_ros/launch", sorted(glob("launch/*.py"))),
        ("share/relpose_ros/launch/examples", sorted(glob("launch/examples/*.py"))),
        ("share/relpose_ros/config", sorted(glob("config/*.*"))),
        ("share/relpose_ros/config/examples", sorted(glob("config/examples/*.*"))),
        ("share/relpose_ros/msg", sorted(glob("msg/*.msg") + glob("msg/*.srv") + glob("msg/*.action"))),
    ],
    long_description=README.read_text(encoding="utf-8") if README.is_file() else "",
    long_description_content_type="text/markdown",
)

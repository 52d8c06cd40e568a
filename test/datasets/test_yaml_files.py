"""YAML of strangers: what is none is said in a line, and aliases do not run away."""

from __future__ import annotations

import pytest

from relpose_ros.datasets.camera_files import read_camera
from relpose_ros.datasets.posed_folder import read_source_notes
from relpose_ros.datasets.rig_files import read_rig
from relpose_ros.datasets.yaml_files import MOST_ALIASES, parse_yaml, shown
from relpose_ros.errors import RelposeError

NOT_YAML = ["a: [", "a: 2001-99-99", "a: !!int x", "a: !!python/object:os.system x", "a: " + "[" * 3000]
DOUBLING = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
BOMB = f"a0: &a0 [1]\n{DOUBLING}"


@pytest.mark.parametrize("text", [*NOT_YAML, BOMB], ids=range(6))
@pytest.mark.parametrize("read", [read_camera, read_rig, lambda file: read_source_notes(file.parent)])
def test_what_is_no_yaml_is_refused_by_name(tmp_path, text, read):
    file = tmp_path / "source.yaml"
    file.write_text(text)
    with pytest.raises(RelposeError, match=r"source\.yaml: not YAML: .") as caught:
        read(file)
    assert len(str(caught.value)) < 1000


def test_a_few_aliases_are_taken_and_shown_shortly():
    lines = "".join(f"- &b{n} [{', '.join([f'*b{n - 1}'] * 8)}]\n" for n in range(1, MOST_ALIASES // 8 + 1))
    value = parse_yaml(f"- &b0 [{'1, ' * 500}]\n{lines}")
    assert len(value[-1][0][0]) == 500 and len(shown(value)) < 2000

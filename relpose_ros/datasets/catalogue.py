"""Public datasets that `relpose dataset fetch` knows: where they are, under what licence, how large.

The addresses are the publishers' own. The publishers give no checksums: the digest of the first
download is kept beside the archive and compared from then on (trust on first use).
"""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Entry:
    """One archive of a dataset, and the scene in it.

    `folder` is what the archive holds at its top, `scene` the place of the scene below that. `bytes` is the
    rough size of the archive, None where not known; `sha256` None means that no digest is published.
    """

    name: str
    url: str
    folder: str
    licence: str
    page: str
    scene: str = "."
    bytes: int | None = None
    sha256: str | None = None

    @property
    def family(self) -> str:
        """The dataset without the scene."""
        return self.name.split(":", 1)[0]


def _seven_scenes() -> list[Entry]:
    base = "https://download.microsoft.com/download/2/8/5/28564B23-0828-408F-8631-23B1EFF1DAC8"
    page = "https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes/"
    licence = "Microsoft Research licence: non-commercial research use only; see the page before use"
    scenes = ("chess", "fire", "heads", "office", "pumpkin", "redkitchen", "stairs")
    return [Entry(f"7scenes:{scene}", f"{base}/{scene}.zip", scene, licence, page) for scene in scenes]


def _twelve_scenes() -> list[Entry]:
    base = "http://graphics.stanford.edu/projects/reloc/data"
    page = "http://graphics.stanford.edu/projects/reloc/"
    licence = "Stanford (Valentin et al., 3DV 2016): research use; see the page before use"
    rooms = {
        "apt1": ("kitchen", "living"),
        "apt2": ("bed", "kitchen", "living", "luke"),
        "office1": ("gates362", "gates381", "lounge", "manolis"),
        "office2": ("5a", "5b"),
    }
    return [
        Entry(f"12scenes:{house}-{room}", f"{base}/{house}.zip", house, licence, page, scene=room)
        for house, names in rooms.items()
        for room in names
    ]


def _cambridge() -> list[Entry]:
    base = "https://www.repository.cam.ac.uk/bitstream/handle/1810"
    page = "https://www.repository.cam.ac.uk/handle/1810/251342"
    licence = "Kendall et al., ICCV 2015: non-commercial research use; the repository page states the licence"
    handles = {
        "KingsCollege": 251342,
        "OldHospital": 251340,
        "ShopFacade": 251336,
        "StMarysChurch": 251294,
        "GreatCourt": 251291,
    }
    return [
        Entry(f"cambridge:{scene}", f"{base}/{handle}/{scene}.zip", scene, licence, page)
        for scene, handle in handles.items()
    ]


def _tum() -> list[Entry]:
    base = "https://cvg.cit.tum.de/rgbd/dataset"
    page = "https://cvg.cit.tum.de/data/datasets/rgbd-dataset"
    licence = "Creative Commons Attribution 4.0 (CC BY 4.0)"
    sequences = {
        "freiburg1": ("xyz", "rpy", "360", "floor", "desk", "desk2", "room", "plant", "teddy"),
        "freiburg2": ("xyz", "rpy", "desk", "large_no_loop", "large_with_loop", "pioneer_slam"),
        "freiburg3": ("long_office_household", "structure_texture_far", "structure_texture_near"),
    }
    return [
        Entry(f"tum:{camera}_{name}", f"{base}/{camera}/rgbd_dataset_{camera}_{name}.tgz",
              f"rgbd_dataset_{camera}_{name}", licence, page)
        for camera, names in sequences.items()
        for name in names
    ]  # fmt: skip


CATALOGUE: dict[str, Entry] = {
    entry.name: entry for entry in (*_seven_scenes(), *_twelve_scenes(), *_cambridge(), *_tum())
}
"""Name (`dataset:scene`) -> where it is."""

"""OpenIBL: data sets, mining, recall, re-ranking, images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from relpose_ros.datasets.place_recognition.json_pair import as_json, from_json
from relpose_ros.datasets.place_recognition.pittsburgh import read_pittsburgh
from relpose_ros.datasets.place_recognition.places import PlaceTable
from relpose_ros.datasets.place_recognition.splits import PlaceDataset, place_dataset
from relpose_ros.datasets.place_recognition.tokyo import read_tokyo
from relpose_ros.evaluation.retrieval_recall import (
    first_of_each_place,
    nearest_first,
    recalls,
    squared_distances,
)
from relpose_ros.retrieval.rerank import RerankOptions, k_reciprocal_distances
from relpose_ros.retrieval.vgg16_input import vgg16_input, vgg16_whole_input
from relpose_training.data.hard_negatives import HardNegatives, MiningOptions
from relpose_training.data.query_chunks import contiguous_share, interleaved_share, query_chunks
from relpose_training.data.reranked_distances import SFRS, reranked_distances
from tools.parity.case import Deviation, deviation, exact, golden, load, path_of


def _json(file: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path_of("openibl", file).read_text())
    return content


def _read(folder: str) -> PlaceTable:
    raw = path_of("openibl", "toy_data") / folder / "raw"
    return read_tokyo(raw) if folder == "tokyo" else read_pittsburgh(raw, "30k")


@golden("openibl", "Pittsburgh and Tokyo from .mat files", "datasets.json", "toy_data")
def datasets() -> Iterator[Deviation]:
    told = _json("datasets.json")
    for folder, key, suffix in (("pitts", "pitts30k", "_30k"), ("tokyo", "tokyo", "")):
        table = _read(folder)
        stored = told[f"file:{folder}/meta{suffix}.json"], told[f"file:{folder}/splits{suffix}.json"]
        yield exact(f"{folder} meta", as_json(table)[0], stored[0])
        yield exact(f"{folder} splits", as_json(table)[1], stored[1])
        for how, source in {".mat": table, "json": from_json(*stored, folder)}.items():
            dataset = place_dataset(source, path_of("openibl", "toy_data") / folder / "raw")
            yield from _lists(f"{folder} {how}", dataset, told[key])
            printed = told[f"{folder}_print"].splitlines()[1:]
            ours = dataset.summary().splitlines()[1 : 1 + len(printed)]  # ours goes on: what was left out
            yield exact(f"{folder} {how} table", ours, printed)


def _lists(name: str, dataset: PlaceDataset, told: dict[str, Any]) -> Iterator[Deviation]:
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    for split, ours in splits.items():
        yield exact(f"{name} q_{split}", [list(i) for i in ours.queries], told[f"q_{split}"])
        yield exact(f"{name} db_{split}", [list(i) for i in ours.gallery], told[f"db_{split}"])
        yield exact(f"{name} {split}_pos", [p.tolist() for p in ours.positives], told[f"{split}_pos"])
    # Named for the negatives, it lists what is none.
    yield exact(f"{name} train_neg", [n.tolist() for n in dataset.train.near], told["train_neg"])


@golden("openibl", "tuples mined by one and two processes", "sampler_inputs.npz", "sampler.json")
def mining() -> Iterator[Deviation]:
    told, given = _json("sampler.json"), load("openibl", "sampler_inputs.npz")
    queries, distances = int(given["n_query"]), given["distmat"]
    features = given["features"][:queries], given["features"][queries:]
    yield deviation("distances", squared_distances(*features), distances, 1e-5)
    reranked = reranked_distances(*features, SFRS, compat=True)
    yield deviation("re-ranked", reranked, given["distmat_jaccard"], 1e-5)
    for run in told["runs"]:
        sfrs = {"difficult": told["pos_num"], "positive_pool": told["pos_pool"]}
        options = MiningOptions(
            told["neg_num"], told["neg_pool"], seed=told["seed"], **sfrs if run["kind"] == "difftuple" else {}
        )
        miner = HardNegatives(told["pos"], told["non_neg"], options)
        chunks = [(epoch, chunk) for epoch in (0, 1) for chunk in query_chunks(queries, 5, epoch)]
        name = f"{run['kind']} {run['rank']} of {run['world']}"
        yield exact(f"{name}, passes", len(chunks), len(run["passes"]))
        for (epoch, chunk), ref in zip(chunks, run["passes"], strict=True):
            share = interleaved_share(chunk, run["rank"], run["world"])
            found = miner.mine(share, distances[share], given["distmat_jaccard"][share])
            ours = [epoch, chunk, len(share), [t.items(queries) for t in found]]
            yield exact(name, ours, [ref[k] for k in ("epoch", "sub_set", "len", "tuples")])


@golden("openibl", "images that processes describe", "sampler.json")
def slices() -> Iterator[Deviation]:
    for name, ref in _json("sampler.json")["slices"].items():
        rank, _, world, length = name.split("_")
        ours = contiguous_share(range(int(length[3:])), int(rank), int(world))
        yield exact(name, ours, ref)


@golden("openibl", "recall, one answer a place, re-ranking", "retrieval_eval.npz", "sampler_inputs.npz")
def retrieval_evaluation() -> Iterator[Deviation]:
    g = load("openibl", "retrieval_eval.npz")
    right, distances = json.loads(str(g["gt_json"])), g["distmat"]
    for key, places in {"gallery_pid": "", "gallery_pid_b": "_b"}.items():
        found = recalls(distances, right, places=g[key])
        yield deviation(f"recall_nms{places}", found, g[f"recall_nms{places}"], 1e-12)
    for key in ("recall_1_5_10", "recall_b"):
        yield deviation(key, recalls(distances, right), g[key], 1e-12)
    jaccard = g["rerank_k1_20_k2_1_lam_0.1"]
    yield deviation("recall_jaccard", recalls(jaccard, right), g["recall_jaccard"], 1e-12)
    yield exact("nms", first_of_each_place(g["nms_in"][:20], g["gallery_pid"]), g["nms_out_top20"])
    yield exact("ranking", nearest_first(distances[:1])[0], g["nms_in"])
    for k1, k2, weight in ((20, 1, 0.1), (25, 1, 0.0), (6, 3, 0.3)):
        ours = k_reciprocal_distances(distances, g["Dqq"], g["Dgg"], RerankOptions(k1, k2, weight))
        yield deviation(f"re-ranked {k1}", ours, g[f"rerank_k1_{k1}_k2_{k2}_lam_{weight}"], 1e-5)
    # The original takes |x_i|^2 twice; norms are 1, and so its distances are right.
    few = load("openibl", "sampler_inputs.npz")["features"][:9]
    yield deviation("among themselves", squared_distances(few, few), g["pairwise_self9"], 1e-5)


@golden("openibl", "images of the network (colour jitter is not comparable)", "transforms.npz")
def transforms() -> Iterator[Deviation]:
    g = load("openibl", "transforms.npz")
    image = np.ascontiguousarray(g["image_u8"][..., ::-1])
    yield deviation("test", vgg16_input(image, 48, 64), g["test_48x64"], 1e-5)
    yield deviation("enlarged", vgg16_input(image, 96, 128), g["test_upscale_96x128"], 1e-5)
    yield deviation("Tokyo query", vgg16_whole_input(image, 64), g["test_tokyo_48x64"], 1e-5)
    portrait = vgg16_whole_input(image.swapaxes(0, 1), 64)
    yield deviation("Tokyo query, portrait", portrait, g["test_tokyo_portrait"], 1e-5)

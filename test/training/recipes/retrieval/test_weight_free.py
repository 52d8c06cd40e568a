"""The pseudo-checkpoint `vlad` is what maps retrieve with."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from relpose_ros.errors import DatasetError
from relpose_ros.features.registry import make_extractor
from relpose_ros.maps.assemble import BuildOptions
from relpose_ros.retrieval.vlad import Vlad
from relpose_training.commands.progress import progress_line
from relpose_training.recipes.retrieval import weight_free
from relpose_training.recipes.retrieval.tested import open_tested
from relpose_training.recipes.retrieval.weight_free import FEATURE, KEYPOINTS, VladSubject, training_images


def test_descriptors_are_those_of_a_map(labelled_set):
    options = BuildOptions()
    assert (options.feature, options.max_keypoints) == (FEATURE, KEYPOINTS)
    tested = open_tested(str(labelled_set))
    described = VladSubject().describe(tested, progress_line)
    extractor = make_extractor(options.feature, options.max_keypoints)
    features = [extractor.extract(cv2.imread(str(p))).descriptors for p in tested.gallery_paths]
    vlad = Vlad.train(features, options.vlad_clusters, options.global_dimension, options.seed)
    np.testing.assert_array_equal(described.gallery, np.stack([vlad.encode(f) for f in features]))
    query = extractor.extract(cv2.imread(str(tested.query_paths[2]))).descriptors
    np.testing.assert_array_equal(described.queries[2], vlad.encode(query))


def test_large_galleries_are_sampled_always_alike(labelled_set, monkeypatch):
    assert training_images(3000).tolist() == list(range(3000))
    chosen = training_images(5000)
    assert len(set(chosen.tolist())) == 3000 and (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, training_images(5000))
    monkeypatch.setattr(weight_free, "LARGEST_TRAINING", 5)
    described = VladSubject().describe(open_tested(str(labelled_set)), progress_line)
    assert described.gallery.shape[0] == 8 and np.isfinite(described.gallery).all()


def test_a_gallery_without_features_is_refused(labelled_set):
    for path in (labelled_set / "images" / "ref").iterdir():
        cv2.imwrite(str(path), np.full((60, 80), 127, np.uint8))
    with pytest.raises(DatasetError, match="no features in any of 8 gallery images"):
        VladSubject().describe(open_tested(str(labelled_set)), progress_line)

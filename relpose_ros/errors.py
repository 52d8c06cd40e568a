"""The one exception family. Every message says what was expected, what came, and what to do."""

from __future__ import annotations


class RelposeError(Exception):
    """Base of everything this package raises on purpose."""


class CameraError(RelposeError):
    """A camera description is missing, zero, inconsistent or of an unknown model."""


class ImageError(RelposeError):
    """An image cannot be read, or is not what it claims to be."""


class MapError(RelposeError):
    """A map bundle is broken, foreign, newer than this software, or does not fit its use."""


class CheckpointError(RelposeError):
    """A file of weights is broken, unsafe, of an unknown kind, or does not fit its network."""


class DatasetError(RelposeError):
    """A posed-image source is incomplete or not laid out as its format says."""


class ConfigurationError(RelposeError):
    """A parameter, profile or command-line value cannot be used."""


class DependencyError(RelposeError):
    """An optional dependency that this operation needs is not installed."""

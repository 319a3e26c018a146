"""Where a network's first weights come from; torch is not imported to check it."""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from saat.errors import InputError, one_line
from saat.paths import user_path


class WeightsPackage(NamedTuple):
    """Another package that holds nothing but published weights; its code is not imported.

    ``file`` is the path of the weights within ``module``; ``install`` is the command to install it.
    """

    module: str
    file: str
    install: str

    def path(self, backbone: str) -> Path:
        """The file of weights; an ``InputError`` if the package is not installed."""
        spec = find_spec(self.module)
        for folder in (spec and spec.submodule_search_locations) or ():
            if (found := Path(folder) / self.file).is_file():
                return found
        raise InputError(
            f"model.weights imagenet: {backbone} takes them from a package that is not installed; "
            f"{self.install}"
        )


class BackboneLimits(NamedTuple):
    """What a backbone can be built with: sides in pixels, and its published weights.

    Without published weights, files are refused too.
    """

    min_image_size: int
    published: bool
    weights_package: WeightsPackage | None = None

    def check(self, backbone: str, weights: str, image_size: int) -> None:
        """An ``InputError`` for images too small, and for weights that the backbone does not have.

        A file of weights is not looked at.
        """
        if image_size < self.min_image_size:
            raise InputError(
                f"data.image_size {image_size}: {backbone} needs at least {self.min_image_size}"
            )
        if weights == "none":
            return
        if not self.published:
            raise InputError(f"model.weights {weights}: {backbone} has no published weights; none")
        if weights == "imagenet" and self.weights_package:
            self.weights_package.path(backbone)


def check_weights_file(weights: str) -> Path:
    """The path that ``model.weights`` names; an ``InputError`` if no file is there."""
    path = user_path(weights, "model.weights")
    if not path.is_file():
        shown = one_line(weights, 200)
        raise InputError(f"model.weights {shown}: no such file; none, imagenet or a path")
    return path

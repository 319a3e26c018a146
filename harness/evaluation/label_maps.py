"""Label map files, YAML or JSON."""

from pathlib import Path

from harness.experiment.yaml_file import read_yaml
from saat.data.label_map import LabelMap, parse_label_map


def load_label_map(path: Path) -> LabelMap:
    """Read and check a label map file (:mod:`saat.data.label_map`); JSON is YAML too.

    Raises:
        InputError: anything wrong with it.
    """
    content = read_yaml(path, "a label map", scale=10)  # which may name thousands of classes
    return parse_label_map(content, str(path))

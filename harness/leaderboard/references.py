"""Papers of this package's defenses; those of other packages are named when they are added."""

from collections.abc import Mapping
from typing import Any

_ARXIV = "https://arxiv.org/abs/"

REFERENCES: Mapping[str, Mapping[str, Any]] = {
    "saat": {
        "paper": "Semantic-Aware Adversarial Training for Reliable Deep Hashing Retrieval",
        "year": 2023,
        "link": f"{_ARXIV}2310.14637",
    },
    "cgat": {
        "paper": "CgAT: Center-Guided Adversarial Training for Deep Hashing-Based Retrieval",
        "year": 2023,
        "link": f"{_ARXIV}2204.10779",
    },
    "atrdh": {
        "paper": "Targeted Attack and Defense for Deep Hashing",
        "year": 2021,
        "link": "https://doi.org/10.1145/3404835.3463233",
    },
    "crdat": {
        "paper": "Clean Model Representation Distillation based Adversarial Training",
        "year": 2025,
    },
    "trades": {
        "paper": "Theoretically Principled Trade-off between Robustness and Accuracy",
        "year": 2019,
        "link": f"{_ARXIV}1901.08573",
    },
    "awp": {
        "paper": "Adversarial Weight Perturbation Helps Robust Generalization",
        "year": 2020,
        "link": f"{_ARXIV}2004.05884",
    },
    "fgsm_rs": {
        "paper": "Fast is better than free: Revisiting adversarial training",
        "year": 2020,
        "link": f"{_ARXIV}2001.03994",
    },
    "hm": {
        "paper": "Enhancing Adversarial Robustness for Deep Metric Learning",
        "year": 2022,
        "link": f"{_ARXIV}2203.01439",
    },
    "ca_tride": {
        "paper": "Collapse-Aware Triplet Decoupling for Adversarially Robust Image Retrieval",
        "year": 2024,
        "link": f"{_ARXIV}2312.07364",
    },
    "comdefend": {
        "paper": "ComDefend: An Efficient Image Compression Model to Defend Adversarial Examples",
        "year": 2019,
        "link": f"{_ARXIV}1811.12673",
    },
}

"""CA-TRIDE for hashing: collapse-aware triplet decoupling (Tian et al., ICML 2024).

"Collapse-Aware Triplet Decoupling for Adversarially Robust Image Retrieval", arXiv:2312.07364. The
formulas are those of the authors' code, since of the paper only the abstract could be read;
``docs/defenses.md`` says what differs from it here.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from saat.defenses.triplets import Triplets, TripletSettings, TripletTraining, distances, drawn
from saat.settings import option

# Margin and weight of the second loss term, of the nearest halves, in the authors' code.
_HALVES_MARGIN, _HALVES_WEIGHT = 0.04, 0.5


@dataclass(frozen=True)
class CaTrideSettings(TripletSettings):
    """The constants of the authors' code for CUB: κ = 10, PGD-16 at 8/255 with step ≤ 1/255."""

    steps: int = option(16, ge=1, le=1000, help="inner PGD iterations T")
    collapse: float = option(10.0, ge=0, le=1e3, help="κ: how much the largest distances count")

    published = ("lambda", "margin", "collapse", "eps", "steps", "step_size")
    attacked_share = 0.75  # two images for each of half a batch, then one


class CaTrideTraining(TripletTraining):
    """min_θ L_ori + λ·(L_T(γ) + ½·max(0, N(d_ap) − N(d_an) + 0.04)), of attacked distances.

    L_T is the triplet loss, and N the mean of the nearer half of a batch's distances. Batches take
    turns: in one positives and negatives are attacked, in the next one anchors.

        C(d) = Σ w·d/Σ w,  w = e^{κ(d − max d)}
        candidates: min max(0, C(d_an) − C(d_ap))
        anchors: min max(0, C(d_ap) − C(d_an)) + g·max(0, N(d_an) − mean d(a, a')),
                 g = e^{−max(0, C(d_an) − C(d_ap))}, without gradient

    So an attack ends where the classes of a batch are as near as the images of one class, before
    all fall together. Its step grows with the epochs, η·epoch/epochs, from 0. Negatives are
    semihard: d_ap < d_an < d_ap + γ·(1 − epoch/(2·epochs))², or random where there are none.
    """

    stage = "ca_tride"
    settings: CaTrideSettings

    def prepare(self) -> None:
        """Whose turn it is, too: of candidates in even batches."""
        super().prepare()
        self.turn = torch.zeros(1, dtype=torch.int64)

    @property
    def pgd_step(self) -> float:
        """η of the present epoch; nothing moves in the first."""
        return super().pgd_step * self.epoch / self.settings.epochs

    def mined(self, away: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """A random positive, and a negative farther away, but by less than a shrinking margin."""
        chosen = drawn(positives, positives)
        near = away.gather(1, chosen[:, None])
        margin = self.settings.margin * (1 - self.epoch / (2 * self.settings.epochs)) ** 2
        return chosen, drawn((away > near) & (away < near + margin), negatives)

    def triplet_term(self, images: Tensor, embedded: Tensor, triplets: Triplets) -> Tensor:
        """Attack candidates or anchors, then the loss of the attacked distances."""
        anchors, positives, negatives = (embedded[rows] for rows in triplets)
        home, friends, strangers = (part.detach() for part in (anchors, positives, negatives))

        def candidates_apart(moved: Tensor) -> Tensor:
            near, far = (distances(home, part) for part in moved.chunk(2))
            return self._gap(near, far).relu()

        def anchors_apart(moved: Tensor) -> Tensor:
            near, far = distances(moved, friends), distances(moved, strangers)
            gap = self._gap(near, far)
            left = (nearer_half(far) - distances(moved, home).mean()).relu()
            return (-gap).relu() + torch.exp(-gap.detach().relu()) * left

        if int(self.turn) % 2:
            attacked = self.joint_maximisation(images[triplets.anchors], anchors_apart)
            anchors = self.embed(attacked)
        else:
            rows = torch.cat([triplets.positives, triplets.negatives])
            attacked = self.joint_maximisation(images[rows], candidates_apart)
            positives, negatives = self.embed(attacked).chunk(2)
        self.turn += 1
        near, far = distances(anchors, positives), distances(anchors, negatives)
        halves = (nearer_half(near) - nearer_half(far) + _HALVES_MARGIN).relu()
        return (near - far + self.settings.margin).relu().mean() + _HALVES_WEIGHT * halves

    def _gap(self, near: Tensor, far: Tensor) -> Tensor:
        """C(far) − C(near) of distances (M,), a scalar."""
        to_positive, to_negative = (collapseness(d, self.settings.collapse) for d in (near, far))
        return to_negative - to_positive

    def buffers(self) -> dict[str, Tensor]:
        """Whose turn it is."""
        return {"turn": self.turn}


def collapseness(away: Tensor, sharpness: float) -> Tensor:
    """C of distances (M,), a scalar: their mean with weights e^{κ(d − max d)}."""
    return (torch.softmax(sharpness * away, 0) * away).sum()


def nearer_half(away: Tensor) -> Tensor:
    """Mean of the smaller half of distances (M,), a scalar; of a single one itself."""
    return away.topk(max(1, len(away) // 2), largest=False).values.mean()

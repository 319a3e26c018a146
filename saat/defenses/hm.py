"""HM for hashing: hardness manipulation with a gradual adversary (Zhou and Patel, CVPR 2022).

"Enhancing Adversarial Robustness for Deep Metric Learning", arXiv:2203.01439. The variant is the
paper's final one, HM[S, g_LGA] & ICS. ``docs/defenses.md`` says what differs from it here.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from saat.defenses.triplets import Triplets, TripletSettings, TripletTraining, distances, drawn
from saat.settings import option


@dataclass(frozen=True)
class HmSettings(TripletSettings):
    """The paper's constants: γ = u = 0.2, ICS 0.5, and PGD-8 at 8/255 with step 1/255."""

    steps: int = option(8, ge=1, le=1000, help="inner PGD iterations T")
    ics: float = option(0.5, ge=0, le=1e6, help="weight of the intra-class structure loss")

    published = ("lambda", "margin", "ics", "eps", "steps", "step_size")
    attacked_share = 1.5  # three images for each of half a batch


class HmTraining(TripletTraining):
    """min_θ L_ori + λ·(L_T(a', p', n'; γ) + ics·L_T(a, a', p; 0)).

        L_T(a, p, n; γ) = mean max(0, d(a, p) − d(a, n) + γ),  H = d(a, p) − d(a, n)
        a', p', n' = argmin Σ max(0, H_D − H(a', p', n'))²,  H_D = −γ·min(γ, l)/γ

    l is L_T(a', p', n'; γ) of the batch before, γ in the first one. So attacks are weak while the
    loss is large, and a triplet that is harder than H_D stays as it is. Triplets are "softhard":
    negatives nearer than the farthest positive, positives farther than the nearest negative.
    """

    stage = "hm"
    settings: HmSettings

    def prepare(self) -> None:
        """The loss of the batch before the first, too."""
        super().prepare()
        self.previous = torch.full((1,), self.settings.margin, device=self._device)

    def mined(self, away: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """Softhard positives and negatives, or random ones where there are none."""
        farthest = away.masked_fill(~positives, -torch.inf).amax(1, keepdim=True)
        nearest = away.masked_fill(~negatives, torch.inf).amin(1, keepdim=True)
        return drawn(away > nearest, positives), drawn(away < farthest, negatives)

    def triplet_term(self, images: Tensor, embedded: Tensor, triplets: Triplets) -> Tensor:
        """Attack all three images of a triplet, then the loss of the six."""
        margin = self.settings.margin
        wanted = -self.previous.clamp(0, margin)

        def short_of_it(moved: Tensor) -> Tensor:
            return (wanted - hardness(moved)).clamp(min=0).square()

        attacked = self.joint_maximisation(images[torch.cat(triplets)], short_of_it)
        moved = self.embed(attacked)
        loss = (hardness(moved) + margin).relu().mean()
        self.previous.copy_(loss.detach())
        benign, partner = embedded[triplets.anchors], embedded[triplets.positives]
        structure = distances(benign, moved.chunk(3)[0]) - distances(benign, partner)
        return loss + self.settings.ics * structure.relu().mean()

    def buffers(self) -> dict[str, Tensor]:
        """The loss of the last batch."""
        return {"previous": self.previous}


def hardness(embedded: Tensor) -> Tensor:
    """H (M,) of the embeddings (3M, K) of all anchors, all positives, all negatives."""
    anchors, positives, negatives = embedded.chunk(3)
    return distances(anchors, positives) - distances(anchors, negatives)

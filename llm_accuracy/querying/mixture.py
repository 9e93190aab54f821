"""The posterior of a model's factors, given all its answers so far, with the history itself as the prior.

New models resemble old ones: most are fine-tunes or successors of a model in the history. So the prior is
not one Gaussian over all models but a small one around every row u_i of the history,

    u ~ (1/M) Σ_i N(u_i, h² Σ0),   Σ0 the sample covariance of the rows, h = BANDWIDTH.

Given answers z to questions with factors x_s, the likelihood is replaced by its Gaussian approximation at the
current u (one Newton step of logistic regression): precision H = κ Σ_s w_s x_s x_sᵀ, linear term
b = κ Σ_s x_s (w_s x_sᵀu + z_s − p_s). Then the posterior is a mixture with one covariance C = (H + (h²Σ0)⁻¹)⁻¹,
whose component i has, with m_i = (h²Σ0)⁻¹ u_i,

    mean C (m_i + b)   and   log weight  ½ (m_i + b)ᵀ C (m_i + b) − ½ u_iᵀ m_i + const,

and the engine receives its overall mean and covariance. κ = TEMPER < 1 allows for the error of the fitted V.
None of this can bias the estimate: p and q may be any functions of the past.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from .factors import Prior

BANDWIDTH = 0.5
TEMPER = 0.7
GROWTH = 12        # solved again when the number of answers has grown by a twelfth, and after each of the first few
W_FLOOR = 1e-4     # least curvature p(1−p) of an answer, so that a surprise never meets a flat likelihood
NEAR = 200         # rows of the history considered once u is roughly known
NEWTON_STEPS, NEWTON_SHARES = 20, (1, 0.5, 0.2, 0.05, 0)  # of `best_factors`
CHUNK, CUDA_CHUNK = 32, 512  # rows at a time: bounds memory at so many × M × K floats
MOST_CELLS = 1 << 25  # of V, of which a second copy is held (128 MiB)


def next_solve(step: int) -> int:
    """The number of answers at which to solve for the posterior again, after having solved at `step`."""
    return step + max(1, step // GROWTH)


def best_factors(V: torch.Tensor, prior: Prior, scores: torch.Tensor) -> torch.Tensor:
    """The factors of models that have answered everything: the mode under one Gaussian prior, (R, K); scores (R, N).

    Newton's method; of every step, the share in NEWTON_SHARES with the lowest loss is taken.
    """
    single = HistoryMixture(V, Prior(prior.mean, prior.covariance))
    everything = torch.arange(len(V), device=V.device).expand(len(scores), -1)
    u = mean = torch.as_tensor(prior.mean, dtype=V.dtype, device=V.device).repeat(len(scores), 1)
    shares = torch.tensor(NEWTON_SHARES, dtype=V.dtype, device=V.device).view(-1, 1, 1)

    def loss(u: torch.Tensor) -> torch.Tensor:
        logits = u @ V.T
        unlikely = (torch.nn.functional.softplus(logits) - scores * logits).sum(1)
        return unlikely + 0.5 * ((u - mean) @ single.inverse_root.T).square().sum(1)

    for _ in range(NEWTON_STEPS):
        candidates = u + shares * (single.mean(u, everything, scores) - u)
        best = torch.stack([loss(one) for one in candidates]).argmin(0)
        u = candidates[best, torch.arange(len(u), device=V.device)]
    return u


class _Solved(NamedTuple):
    """mean (R, K) in the coordinates of V, the rest in those in which h² Σ0 is the identity: c (R, K, K) of every
    component, rows (R or 1, M, K), their weight (R, 1, M) and their weighted mean, centre (R, K)."""

    mean: torch.Tensor
    c: torch.Tensor
    rows: torch.Tensor
    weight: torch.Tensor
    centre: torch.Tensor


class HistoryMixture:
    """Solves for the posterior of many rows; works in coordinates in which h² Σ0 is the identity.

    V (N, K) of the bank. A prior without rows is a single Gaussian N(mean, covariance), not tempered.
    most_cells  entries of V, up to which a second copy in these coordinates is held
    """

    def __init__(self, V: torch.Tensor, prior: Prior, most_cells: int = MOST_CELLS):
        def to(array) -> torch.Tensor:
            return torch.as_tensor(array, dtype=V.dtype, device=V.device)

        single = prior.rows is None or len(prior.rows) < 2
        scale, self.temper = (1.0, 1.0) if single else (BANDWIDTH, TEMPER)
        covariance = torch.as_tensor(prior.covariance, dtype=torch.float64)
        ridge = 1e-6 * covariance.diagonal().mean().clamp_min(1e-12) * torch.eye(len(covariance), dtype=torch.float64)
        root = scale * torch.linalg.cholesky(covariance + ridge)
        rows = torch.as_tensor(prior.mean[None] if single else prior.rows, dtype=torch.float64)
        self.root, self.inverse_root = to(root), to(torch.linalg.inv(root))
        # Of a very large bank no second copy is held: what is asked is brought into these coordinates each time.
        self.lean = V.numel() > most_cells
        self.V = V if self.lean else V @ self.root
        self.rows = to(torch.linalg.solve_triangular(root, rows.T, upper=False).T)
        self.log_prior = -0.5 * self.rows.square().sum(1)

    def solve(self, u: torch.Tensor, asked: torch.Tensor,
              answers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(mean (R, K), covariance (R, K, K)) from all answers; u (R, K) is where to linearise first; asked and
        answers are (R, t)."""
        parts = [self._solve(*chunk) for chunk in self._chunks(u, asked, answers)]
        means, covariances = zip(*((solved.mean, self._covariance(solved)) for solved in parts), strict=True)
        return torch.cat(means), torch.cat(covariances)

    def mean(self, u: torch.Tensor, asked: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        """The mean alone, (R, K)."""
        return torch.cat([self._solve(*chunk).mean for chunk in self._chunks(u, asked, answers)])

    @staticmethod
    def _chunks(u: torch.Tensor, asked: torch.Tensor, answers: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        at_once = CUDA_CHUNK if u.is_cuda else CHUNK
        return zip(u.split(at_once), asked.split(at_once), answers.split(at_once), strict=True)

    def _covariance(self, solved: _Solved) -> torch.Tensor:
        around = solved.rows - solved.centre.unsqueeze(1)
        between = torch.bmm(around.transpose(1, 2) * solved.weight, around)
        sigma = solved.c + solved.c @ between @ solved.c
        return self.root @ sigma @ self.root.T

    def _solve(self, u: torch.Tensor, asked: torch.Tensor, answers: torch.Tensor) -> _Solved:
        t = asked.shape[1]
        steps = 4 if t <= 8 else 2 if t <= u.shape[1] else 1
        u, x = u @ self.inverse_root.T, self.V[asked]
        if self.lean:
            x = x @ self.root
        rows, log_prior = self._near(u, t)
        identity = torch.eye(u.shape[1], dtype=u.dtype, device=u.device)
        furthest = 0.5 * u.shape[1] ** 0.5 / BANDWIDTH  # of a Newton step: curvature misleads far from the mode
        for _ in range(steps):
            logit = torch.bmm(x, u.unsqueeze(2)).squeeze(2)
            p = torch.sigmoid(logit)
            w = (p * (1 - p)).clamp_min(W_FLOOR)
            precision = identity + self.temper * torch.bmm((x * w.unsqueeze(2)).transpose(1, 2), x)
            b = self.temper * torch.bmm((w * logit + answers - p).unsqueeze(1), x).squeeze(1)
            c = torch.cholesky_inverse(torch.linalg.cholesky(precision))
            shifted = rows + b.unsqueeze(1)
            weight = torch.softmax(log_prior + 0.5 * torch.bmm(shifted, c).mul_(shifted).sum(2), dim=1).unsqueeze(1)
            centre = (weight @ rows).squeeze(1)
            step = torch.bmm(c, (centre + b).unsqueeze(2)).squeeze(2) - u
            u = u + step * (furthest / step.norm(dim=1, keepdim=True).clamp_min(furthest))
        return _Solved(u @ self.root.T, c, rows, weight, centre)

    def _near(self, u: torch.Tensor, answers: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The history's rows (R or 1, M, K) that can be the centre, and their −½ |row|² (R or 1, M): once there are
        more answers than factors, only the NEAR rows closest to u."""
        if answers <= u.shape[1] or len(self.rows) <= NEAR:
            return self.rows.unsqueeze(0), self.log_prior.unsqueeze(0)
        nearest = torch.cdist(u, self.rows).topk(NEAR, dim=1, largest=False).indices
        return self.rows[nearest], self.log_prior[nearest]

"""What ours is measured against: the same results by the direct formulas, one setting at a time."""

from __future__ import annotations

import numpy as np
import torch

from llm_accuracy.querying.factors import Prior


class DirectFAQ:
    """FAQ with replacement by the formulas of arXiv 2601.20251 as they stand, all models at once.

    as_published  h_a at every step from diag(VΣVᵀ) formed afresh, O(models · N · K²) work through a
                  (models, N, K) intermediate, and a draw by an exponential race. Otherwise h_a is skipped where
                  α_s = 0 and the draw is by inverse CDF: the cheapest the direct formulas can be.
    """

    def __init__(self, V: torch.Tensor, prior: Prior, rows: int, budget: int, setting, as_published: bool):
        like = {"dtype": V.dtype, "device": V.device}
        self.V, self.budget, self.setting, self.as_published = V, budget, setting, as_published
        self.u = torch.as_tensor(prior.mean).to(**like).repeat(rows, 1)
        self.sigma = torch.as_tensor(prior.covariance).to(**like).repeat(rows, 1, 1)
        self.rows, self.s = torch.arange(rows, device=V.device), 0

    def step(self, uniform: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """uniform (rows,), scores (rows, N) → asked, q, p, total."""
        q, p, w = self.probabilities()
        asked = self.draw(q, uniform)
        i = (self.rows, asked)
        seen = asked, q[i], p[i], p.sum(1)
        v = self.V[asked]
        x = torch.einsum("rij,rj->ri", self.sigma, v)
        self.sigma = self.sigma - (w[i] / (1 + w[i] * (x * v).sum(1)))[:, None, None] * x[:, :, None] * x[:, None, :]
        self.u = self.u + torch.einsum("rij,rj->ri", self.sigma, v) * (scores[i] - p[i])[:, None]
        return seen

    def probabilities(self):
        self.s += 1
        beta0, rho, gamma, tau = (getattr(self.setting, name) for name in ("beta0", "rho", "gamma", "tau"))
        alpha = max(0.0, 1 - self.s / (rho * self.budget)) if rho else 0.0
        beta = beta0 * (min(1.0, self.s / (gamma * self.budget)) if gamma else 1.0)
        p = torch.sigmoid(self.u @ self.V.T).clamp(1e-12, 1 - 1e-12)
        w = p * (1 - p)
        h = w.sqrt()
        h = h / h.sum(1, keepdim=True)
        if self.as_published or alpha > 0:
            h_a = self.active_learning(w)
            h = (1 - alpha) * h + alpha * h_a / h_a.sum(1, keepdim=True)
        h = h**beta
        return (1 - tau) * h / h.sum(1, keepdim=True) + tau / len(self.V), p, w

    def active_learning(self, w):
        g = w @ self.V / len(self.V)
        through = torch.matmul(self.V, self.sigma)  # (rows, N, K): the multi-gigabyte intermediate
        spread = (through * self.V).sum(2)
        return w * torch.einsum("rnk,rk->rn", through, g) ** 2 / (1 + w * spread)

    def draw(self, q, uniform):
        if self.as_published:
            return torch.multinomial(q, 1).squeeze(1)
        cumulative = q.cumsum(1)
        target = (uniform.to(q.dtype) * cumulative[:, -1]).unsqueeze(1)
        return torch.searchsorted(cumulative, target, right=True).squeeze(1).clamp_max(q.shape[1] - 1)


def walk_one_setting(scores, weights, budget, tau, exempt, coins_of, f):
    """A baseline walk of one setting: the per-setting loop, models side by side. Returns θ̂, SE, labels."""
    n_models, n = scores.shape
    asked, theta, variance = np.zeros(n_models), np.zeros(n_models), np.zeros(n_models)
    eta = budget / weights.sum()
    for t in range(n):
        pi = np.full(n_models, eta * weights[t]) if exempt else np.minimum(eta * weights[t],
                                                                            (t + 1) * budget / n - asked)
        pi = np.clip(pi, 0, 1)
        if not exempt:
            pi = (1 - tau) * pi + tau * budget / n
        coin = coins_of[:, t] < pi
        residual = scores[:, t] - f[t]
        theta += f[t] + coin * residual / pi
        variance += coin * (1 - pi) / pi**2 * residual**2
        asked += coin
    return theta / n, np.sqrt(variance) / n, asked


def factor_walk_one_setting(scores, V, prior, budget, tau, uniforms, steps):
    """Active inference with factors, one setting, by the direct formulas; the first `steps` questions."""
    n_models, n = scores.shape
    u = torch.as_tensor(prior.mean, dtype=V.dtype).repeat(n_models, 1)
    sigma = torch.as_tensor(prior.covariance, dtype=V.dtype).repeat(n_models, 1, 1)
    asked, theta, variance = torch.zeros(n_models), torch.zeros(n_models), torch.zeros(n_models)
    for t in range(steps):
        p_all = torch.sigmoid(u @ V.T).clamp(1e-12, 1 - 1e-12)
        uncertain = 2 * torch.minimum(p_all, 1 - p_all)
        p = p_all[:, t]
        eta = budget / (n * uncertain.mean(1))
        pi = torch.minimum(eta * uncertain[:, t], (t + 1) * budget / n - asked).clamp(0, 1)
        pi = (1 - tau) * pi + tau * budget / n
        coin = (uniforms[:, t] < pi).to(V.dtype)
        residual = scores[:, t] - p
        theta += p + coin * residual / pi
        variance += coin * (1 - pi) / pi**2 * residual**2
        asked += coin
        v, w = V[t], p * (1 - p)
        x = sigma @ v
        sigma = sigma - (coin * w / (1 + w * (x @ v)))[:, None, None] * x[:, :, None] * x[:, None, :]
        u = u + (sigma @ v) * (coin * residual)[:, None]
    return theta / n, torch.sqrt(variance) / n, asked


def masked_index_fit(scores, seen, rank, decay, epochs, seed=0):
    """The factor fit written naively: autograd through a gather by boolean mask, one fit at a time."""
    generator = torch.Generator(scores.device).manual_seed(seed)
    U, V = (torch.randn(size, rank, generator=generator, device=scores.device, requires_grad=True)
            for size in scores.shape)
    optimizer = torch.optim.AdamW([U, V], lr=1e-2, weight_decay=decay)
    for _ in range(epochs):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits((U @ V.T)[seen], scores[seen]).backward()
        optimizer.step()
    return U.detach(), V.detach()

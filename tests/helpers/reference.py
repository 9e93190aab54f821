"""A slow, independent FAQ: the direct formulas, one model, one question at a time, everything formed afresh."""

import numpy as np


def sigmoid(x):
    return np.clip(1 / (1 + np.exp(-x)), 1e-12, 1 - 1e-12)


def faq(V, mean, covariance, scores, uniforms, setting, budget, sampling):
    """Evaluate one model. Returns asked, q, p, total as lists, and the final u and Σ."""
    n = len(V)
    u, sigma = mean.astype(float), covariance.astype(float)
    asked, qs, ps, totals = [], [], [], []
    for s in range(1, len(uniforms) + 1):
        p = sigmoid(V @ u)
        w = p * (1 - p)
        taken = set(asked) if sampling != "with" else set()
        open_ = np.array([j not in taken for j in range(n)])
        for_scores = open_ if sampling == "without" else np.ones(n, bool)
        g = (w * for_scores) @ V / n
        h_o = np.sqrt(w) * for_scores
        h_a = np.array([w[j] * (V[j] @ sigma @ g) ** 2 / (1 + w[j] * V[j] @ sigma @ V[j]) for j in range(n)])
        h_a = h_a * for_scores
        alpha = max(0.0, 1 - s / (setting.rho * budget)) if setting.rho else 0.0
        beta = setting.beta0 * (min(1.0, s / (setting.gamma * budget)) if setting.gamma else 1.0)
        h = ((1 - alpha) * h_o / h_o.sum() + alpha * h_a / h_a.sum()) ** beta * open_
        q = ((1 - setting.tau) * h / h.sum() + setting.tau / open_.sum()) * open_
        i = int(np.searchsorted(np.cumsum(q), uniforms[s - 1], side="right"))
        total = p.sum()
        if sampling == "without":
            total = sum(scores[j] for j in asked) + p[open_].sum()
        asked.append(i)
        qs.append(q[i])
        ps.append(p[i])
        totals.append(total)
        precision_gain = w[i] * np.outer(sigma @ V[i], sigma @ V[i]) / (1 + w[i] * V[i] @ sigma @ V[i])
        sigma = sigma - precision_gain
        u = u + sigma @ V[i] * (scores[i] - p[i])
    return asked, qs, ps, totals, u, sigma


def walk(weights, budget, tau, exempt, uniforms, z, f):
    """One baseline walk. Returns θ̂, SE, labels."""
    n, asked, theta, variance = len(z), 0, 0.0, 0.0
    eta = budget / weights.sum()
    for t in range(1, n + 1):
        pi = min(eta * weights[t - 1], np.inf if exempt else t * budget / n - asked)
        pi = min(max(pi, 0.0), 1.0)
        if not exempt:
            pi = (1 - tau) * pi + tau * budget / n
        coin = uniforms[t - 1] < pi
        asked += coin
        theta += f[t - 1]
        if coin:
            theta += (z[t - 1] - f[t - 1]) / pi
            variance += (1 - pi) / pi**2 * (z[t - 1] - f[t - 1]) ** 2
    return theta / n, np.sqrt(variance) / n, asked

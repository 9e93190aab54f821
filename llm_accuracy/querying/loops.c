/* Loops that go over a table once where NumPy and PyTorch go over it ten times, for loops.py. Sums are taken in LANES
   parts, products are never contracted with sums, and exp and log are below: so the results do not depend on how wide
   a machine's vectors are. QUESTIONS of a block, STEPS of a walk, CAP of |logits| and P_FLOOR of probabilities are
   defined where it is built. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16, TILE = 128 };

/* --- exp and log: range reduction and the polynomials of the Cephes library (S. L. Moshier) -------------------- */

static inline float as_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t as_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* e^y for y of at least -87, and at most 88. */
static inline float exp_of(float y)
{
    float n = (y * 1.44269504088896341f + 12582912.0f) - 12582912.0f; /* to the nearest whole number */
    float r = y - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * as_float((uint32_t)((int32_t)n + 127) << 23);
}

/* log x for normal x above 0. */
static inline float log_of(float x)
{
    uint32_t bits = as_bits(x);
    float e = (float)((int32_t)(bits >> 23) - 126);
    float m = as_float((bits & 0x007fffffu) | 0x3f000000u); /* in [1/2, 1) */
    int low = m < 0.707106781186547524f;
    e = low ? e - 1.0f : e;
    m = low ? m + m - 1.0f : m - 1.0f;
    float z = m * m, p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    float y = m * z * p;
    y = y + e * -2.12194440e-4f;
    y = y - 0.5f * z;
    return m + y + e * 0.693359375f;
}

/* --- the passes over rows x questions (passes.py), which are rows x blocks x QUESTIONS ------------------------- */

static const float SMALLEST = 1.17549435e-38f; /* of the normal numbers */

/* s to the power beta, 0 where s is 0; s itself for beta 1. */
static inline float power(float s, float beta)
{
    float t = beta * log_of(s > SMALLEST ? s : SMALLEST);
    t = t > -87.0f ? t : -87.0f;
    float raised = beta == 1.0f ? s : exp_of(t);
    return s > 0.0f ? raised : 0.0f;
}

/* sqrt(p (1-p)) and p of a logit, both 0 where it is minus infinity; |logits| beyond CAP count as CAP. */
static inline float root_w(float x, float *p)
{
    float size = __builtin_fabsf(x), open = x >= -3.4e38f ? 1.0f : 0.0f;
    size = size < CAP ? size : CAP;
    float half = exp_of(-0.5f * size), square = half * half, larger = 1.0f / (1.0f + square);
    *p = open * (x >= 0.0f ? larger : square * larger);
    return open * (half * larger);
}

/* h_a of w = p (1-p), toward and variance (passes.py). */
static inline float learning_score(float w, float g, float v)
{
    return w * g * g / (1.0f + w * v);
}

/* (of_oracle sqrt(w) + of_learning h_a) to the power power_of. */
static inline float mixed_score(float x, float g, float v, float of_oracle, float of_learning, float power_of)
{
    float likely, root = root_w(x, &likely);
    return power(of_oracle * root + of_learning * learning_score(root * root, g, v), power_of);
}

static inline float total(const float *lanes)
{
    float sum = 0.0f;
    for (size_t l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

void oracle_pass(size_t rows, size_t blocks, const float *logits, const float *beta, float *sums, float *p_sums)
{
    for (size_t b = 0; b < rows * blocks; b++) {
        const float *x = logits + b * QUESTIONS;
        float power_of = beta ? beta[b / blocks] : 1.0f, s[LANES] = {0}, p[LANES] = {0};
        if (power_of == 1.0f)
            for (size_t j = 0; j < QUESTIONS; j += LANES)
                for (size_t l = 0; l < LANES; l++) {
                    float likely;
                    s[l] += root_w(x[j + l], &likely);
                    p[l] += likely;
                }
        else
            for (size_t j = 0; j < QUESTIONS; j += LANES)
                for (size_t l = 0; l < LANES; l++) {
                    float likely;
                    s[l] += power(root_w(x[j + l], &likely), power_of);
                    p[l] += likely;
                }
        sums[b] = total(s);
        p_sums[b] = total(p);
    }
}

void weights(size_t count, const float *logits, float *w)
{
    for (size_t i = 0; i < count; i++) {
        float p, root = root_w(logits[i], &p);
        w[i] = root * root;
    }
}

void learning_pass(size_t blocks, const float *logits, const float *toward, const float *variance,
                   float *root_sums, float *sums, float *p_sums)
{
    for (size_t b = 0; b < blocks; b++) {
        const float *x = logits + b * QUESTIONS, *g = toward + b * QUESTIONS, *v = variance + b * QUESTIONS;
        float s[LANES] = {0}, h[LANES] = {0}, p[LANES] = {0};
        for (size_t j = 0; j < QUESTIONS; j += LANES)
            for (size_t l = 0; l < LANES; l++) {
                float likely, root = root_w(x[j + l], &likely), w = root * root;
                s[l] += root;
                h[l] += learning_score(w, g[j + l], v[j + l]);
                p[l] += likely;
            }
        root_sums[b] = total(s);
        sums[b] = total(h);
        p_sums[b] = total(p);
    }
}

void mixed_pass(size_t rows, size_t blocks, const float *logits, const float *toward, const float *variance,
                const float *oracle, const float *learning, const float *beta, float *sums)
{
    for (size_t b = 0; b < rows * blocks; b++) {
        const float *x = logits + b * QUESTIONS, *g = toward + b * QUESTIONS, *v = variance + b * QUESTIONS;
        float of_oracle = oracle[b / blocks], of_learning = learning[b / blocks], power_of = beta[b / blocks];
        float s[LANES] = {0};
        for (size_t j = 0; j < QUESTIONS; j += LANES)
            for (size_t l = 0; l < LANES; l++)
                s[l] += mixed_score(x[j + l], g[j + l], v[j + l], of_oracle, of_learning, power_of);
        sums[b] = total(s);
    }
}

void shrink_pass(size_t count, float *variance, const float *change)
{
    for (size_t i = 0; i < count; i++) {
        float left = variance[i] - change[i] * change[i];
        variance[i] = left > 0.0f ? left : 0.0f;
    }
}

void uncertainty_pass(size_t rows, size_t questions, const float *logits, float *sums)
{
    for (size_t r = 0; r < rows; r++) {
        const float *x = logits + r * questions;
        float s[LANES] = {0}, p;
        size_t j = 0;
        for (; j + LANES <= questions; j += LANES)
            for (size_t l = 0; l < LANES; l++) {
                root_w(-__builtin_fabsf(x[j + l]), &p);
                s[l] += p;
            }
        for (; j < questions; j++) {
            root_w(-__builtin_fabsf(x[j]), &p);
            s[0] += p;
        }
        sums[r] = 2.0f * total(s);
    }
}

/* --- a step of many evaluations (querier.py, beliefs.py) ------------------------------------------------------- */

/* The scores of one block's questions: of oracle_pass where toward is absent, else of mixed_pass. */
static void block_scores(const float *x, const float *g, const float *v, float of_oracle, float of_learning,
                         float power_of, float *scores)
{
    float likely;
    if (g)
        for (size_t j = 0; j < QUESTIONS; j++)
            scores[j] = mixed_score(x[j], g[j], v[j], of_oracle, of_learning, power_of);
    else
        for (size_t j = 0; j < QUESTIONS; j++)
            scores[j] = power(root_w(x[j], &likely), power_of);
}

/* The first of q's n entries whose cumulated mass is beyond the target; the mass before it is left in `before`. Rounding
   may put the target just outside: it is moved back, so that an entry of 0 is never chosen. */
static size_t inverse_cdf(const double *q, size_t n, double target, double *before)
{
    double mass = 0.0;
    for (size_t i = 0; i < n; i++)
        mass += q[i];
    double last = mass * (1 - 1e-12), reached = 0.0;
    target = target < last ? target : last;
    size_t i = 0;
    while (i + 1 < n && reached + q[i] <= target)
        reached += q[i++];
    *before = reached;
    return i;
}

/* Draws a question for every row from one uniform number. rows x blocks: sums of the scores, p_sums, open (questions that
   may be asked), room to work in; rows: beta (or absent, for 1), oracle and learning, of mixed_pass; tau, uniforms;
   written: asked, q, p and the sum of p over the open questions. */
void draw(size_t rows, size_t blocks, const float *logits, const float *toward, const float *variance,
          const float *oracle, const float *learning, const float *beta, const double *sums, const double *p_sums,
          const double *open, const double *tau, const double *uniforms, double *room, int64_t *asked, double *q,
          double *p, double *expected)
{
    for (size_t r = 0; r < rows; r++) {
        const double *s = sums + r * blocks, *o = open + r * blocks;
        double score_total = 0.0, open_total = 0.0, likely = 0.0, *mixed = room + r * blocks, before, ignored;
        for (size_t b = 0; b < blocks; b++) {
            score_total += s[b];
            open_total += o[b];
            likely += p_sums[r * blocks + b];
        }
        double even = score_total > 0 ? tau[r] : 1.0, floor_of = even / open_total;
        double share = (1 - even) / (score_total > 2.2250738585072014e-308 ? score_total : 2.2250738585072014e-308);
        for (size_t b = 0; b < blocks; b++)
            mixed[b] = share * s[b] + floor_of * o[b];
        size_t block = inverse_cdf(mixed, blocks, uniforms[r], &before), at = (r * blocks + block) * QUESTIONS;
        const float *x = logits + at;
        float scores[QUESTIONS];
        block_scores(x, toward ? toward + at : NULL, variance ? variance + at : NULL, toward ? oracle[r] : 0.0f,
                     toward ? learning[r] : 0.0f, beta ? beta[r] : 1.0f, scores);
        double inside[QUESTIONS], left = uniforms[r] - before;
        for (size_t j = 0; j < QUESTIONS; j++)
            inside[j] = share * (double)scores[j] + (x[j] >= -3.4e38f ? floor_of : 0.0);
        size_t j = inverse_cdf(inside, QUESTIONS, left > 0 ? left : 0, &ignored);
        double probability = 1 / (1 + exp(-(double)x[j]));
        probability = probability > P_FLOOR ? probability : P_FLOOR;
        asked[r] = (int64_t)(block * QUESTIONS + j);
        q[r] = share * (double)scores[j] + floor_of;
        p[r] = probability < 1 - P_FLOOR ? probability : 1 - P_FLOOR;
        expected[r] = likely;
    }
}

/* Every row learns from its answer: u (rows x rank) and sigma (rows x rank x rank) are updated; step is what was added to
   u, and shrink y where y y' was taken from sigma. factors is questions x rank. */
void learn(size_t rows, size_t rank, const float *factors, const int64_t *asked, const float *answers, const float *p,
           float *u, float *sigma, float *step, float *shrink)
{
    for (size_t r = 0; r < rows; r++) {
        const float *v = factors + (size_t)asked[r] * rank;
        float *s = sigma + r * rank * rank, *x = step + r * rank, *y = shrink + r * rank, *mean = u + r * rank;
        for (size_t i = 0; i < rank; i++)
            x[i] = 0.0f;
        for (size_t j = 0; j < rank; j++) /* sigma is symmetric */
            for (size_t i = 0; i < rank; i++)
                x[i] += s[j * rank + i] * v[j];
        float w = p[r] * (1.0f - p[r]), along = 0.0f;
        for (size_t i = 0; i < rank; i++)
            along += x[i] * v[i];
        float k = 1.0f + w * along, root = sqrtf(w / k), scale = (answers[r] - p[r]) / k;
        for (size_t i = 0; i < rank; i++) {
            y[i] = x[i] * root;
            x[i] *= scale;
            mean[i] += x[i];
        }
        for (size_t j = 0; j < rank; j++)
            for (size_t i = 0; i < rank; i++)
                s[j * rank + i] -= y[j] * y[i];
    }
}

/* --- baseline walks (walks.py, where the formulas and the names are), in float64 ------------------------------- */

/* models x questions   uniforms, scores          questions x walks   wanted
   questions            predictions               walks               least (the floor), allowance, kept
   walks x models       left, labels, both updated
   4 x walks x models   sums, added to: theta for f = 0 and for f = the prediction, then their variances

   STEPS questions are summed up before they are added to the sums, as walks.py does, so that both round alike;
   TILE models are walked together, whose numbers stay in the cache. */

static void columns(const double *table, size_t questions, size_t models, size_t steps, double turned[STEPS][TILE])
{
    for (size_t m = 0; m < models; m++)
        for (size_t t = 0; t < steps; t++)
            turned[t][m] = table[m * questions + t];
}

void walk(size_t models, size_t questions, size_t walks, const double *uniforms, const double *scores,
          const double *wanted, const double *predictions, const double *least, const double *allowance,
          const double *kept, double *left, double *labels, double *sums)
{
    double u[STEPS][TILE], z[STEPS][TILE];
    for (size_t first = 0; first < models; first += TILE) {
        size_t width = models - first < TILE ? models - first : TILE;
        for (size_t start = 0; start < questions; start += STEPS) {
            size_t steps = questions - start < STEPS ? questions - start : STEPS;
            columns(uniforms + first * questions + start, questions, width, steps, u);
            columns(scores + first * questions + start, questions, width, steps, z);
            for (size_t w = 0; w < walks; w++) {
                double *has_left = left + w * models + first, *asked = labels + w * models + first;
                double part[4][TILE] = {{0}};
                for (size_t t = 0; t < steps; t++) {
                    double want = wanted[(start + t) * walks + w], f = predictions[start + t];
                    double low = least[w], grows = allowance[w], costs = kept[w];
                    for (size_t m = 0; m < width; m++) {
                        double has = has_left[m] + grows;
                        double pi = has < want ? has : want;
                        pi = pi > low ? pi : low;
                        int coin = u[t][m] < pi;
                        double plain = z[t][m] / pi, centred = (z[t][m] - f) / pi, spared = 1 - pi;
                        has_left[m] = coin ? has - costs : has;
                        asked[m] = coin ? asked[m] + 1 : asked[m];
                        part[0][m] = coin ? part[0][m] + plain : part[0][m];
                        part[1][m] = coin ? part[1][m] + centred : part[1][m];
                        part[2][m] = coin ? part[2][m] + plain * plain * spared : part[2][m];
                        part[3][m] = coin ? part[3][m] + centred * centred * spared : part[3][m];
                    }
                }
                for (size_t k = 0; k < 4; k++)
                    for (size_t m = 0; m < width; m++)
                        sums[(k * walks + w) * models + first + m] += part[k][m];
            }
        }
    }
}

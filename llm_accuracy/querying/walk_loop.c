/* The inner loop of baseline walks (walks.py, where the formulas and the names are), in float64, for walk_loop.py.

   models x questions   uniforms, scores          questions x walks   wanted
   questions            predictions               walks               least (the floor), allowance, kept
   walks x models       left, labels, both updated
   4 x walks x models   sums, added to: theta for f = 0 and for f = the prediction, then their variances

   BLOCK questions are summed up before they are added to the sums, as walks.py does, so that both round alike;
   TILE models are walked together, whose numbers stay in the cache. */

#include <stddef.h>

enum { TILE = 128 };

static void columns(const double *table, size_t questions, size_t models, size_t steps, double turned[BLOCK][TILE])
{
    for (size_t m = 0; m < models; m++)
        for (size_t t = 0; t < steps; t++)
            turned[t][m] = table[m * questions + t];
}

void walk(size_t models, size_t questions, size_t walks, const double *uniforms, const double *scores,
          const double *wanted, const double *predictions, const double *least, const double *allowance,
          const double *kept, double *left, double *labels, double *sums)
{
    double u[BLOCK][TILE], z[BLOCK][TILE];
    for (size_t first = 0; first < models; first += TILE) {
        size_t width = models - first < TILE ? models - first : TILE;
        for (size_t start = 0; start < questions; start += BLOCK) {
            size_t steps = questions - start < BLOCK ? questions - start : BLOCK;
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

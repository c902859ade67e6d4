"""Writes ../testdata/stats.json: intervals and tests as SciPy, statsmodels and NumPy compute them, and the exact distribution
that the bootstrap of a paired difference estimates. Run: python3 ref/stats.py (needs scipy, statsmodels)."""
import json, math, os
import numpy as np, scipy, statsmodels
from scipy import stats, optimize
from statsmodels.stats.contingency_tables import mcnemar

wilson = []
for k, n in [(0, 1), (1, 1), (0, 100), (28, 100), (53, 100), (100, 100), (3, 7), (371, 400), (9999, 10000)]:
    ci = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    wilson.append({"k": k, "n": n, "low": ci.low, "high": ci.high})

tests = []
for b, c in [(34, 9), (9, 34), (0, 5), (0, 6), (1, 1), (7, 8), (120, 90), (0, 0), (600, 520), (3, 900)]:
    p = 1.0 if b + c == 0 else float(mcnemar([[0, b], [c, 0]], exact=True).pvalue)
    if b + c:
        assert abs(p - min(1, stats.binomtest(min(b, c), b + c).pvalue)) < 1e-12
    tests.append({"b": b, "c": c, "p": p})

def exact_quantiles(b, c, n):
    """Quantiles of the mean of n draws from b times +1, c times -1, n-b-c times 0: the ideal bootstrap of the difference."""
    pmf, one = np.array([1.0]), np.array([c / n, (n - b - c) / n, b / n])
    for _ in range(n):
        pmf = np.convolve(pmf, one)
    cdf = np.cumsum(pmf)
    at = lambda q: (int(np.searchsorted(cdf, q)) - n) / n
    return at(0.025), at(0.975)

boot = []
for b, c, n in [(34, 9, 100), (2, 1, 40), (60, 20, 400), (0, 0, 10), (5, 0, 25)]:
    low, high = exact_quantiles(b, c, n)
    boot.append({"b": b, "c": c, "n": n, "low": low, "high": high})

za, zb = stats.norm.ppf(0.975), stats.norm.ppf(0.8)
power = []
for n, d in [(100, 0.43), (100, 0.1), (400, 0.2), (1000, 0.25), (50, 0.02)]:
    f = lambda x: x * math.sqrt(n) - za * math.sqrt(d) - zb * math.sqrt(max(0, d - x * x))
    power.append({"n": n, "discordant": d, "difference": optimize.brentq(f, 0, 1, xtol=1e-14)})

x = [3.1, 0.2, 8.8, 4.4, 4.4, 7.0, 1.5]
pct = [{"q": q, "value": float(np.percentile(x, 100 * q))} for q in (0, 0.05, 0.5, 0.95, 1)]
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "testdata", "stats.json")
with open(path, "w") as f:
    json.dump({"by": f"ref/stats.py, scipy {scipy.__version__}, statsmodels {statsmodels.__version__}, numpy {np.__version__}",
               "wilson": wilson, "mcnemar": tests, "bootstrap": boot, "detectable": power, "values": x, "percentile": pct}, f, indent=1)

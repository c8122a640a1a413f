"""The error function in NumPy, which has none: the rational approximations of fdlibm's s_erf.c (Sun
Microsystems, 1993).

Error below 1 ulp in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_ERX = 8.45062911510467529297e-01
# Coefficients from the constant term up. |x| < 0.84375: x + x * P / Q of x^2.
_PP = (
    1.28379167095512558561e-01, -3.25042107247001499370e-01, -2.84817495755985104766e-02,
    -5.77027029648944159157e-03, -2.37630166566501626084e-05,
)  # fmt: skip
_QQ = (
    1.0, 3.97917223959155352819e-01, 6.50222499887672944485e-02, 5.08130628187576562776e-03,
    1.32494738004321644526e-04, -3.96022827877536812320e-06,
)  # fmt: skip
# 0.84375 <= |x| < 1.25: erx + P / Q of |x| - 1.
_PA = (
    -2.36211856075265944077e-03, 4.14856118683748331666e-01, -3.72207876035701323847e-01,
    3.18346619901161753674e-01, -1.10894694282396677476e-01, 3.54783043256182359371e-02,
    -2.16637559486879084300e-03,
)  # fmt: skip
_QA = (
    1.0, 1.06420880400844228286e-01, 5.40397917702171048937e-01, 7.18286544141962662868e-02,
    1.26171219808761642112e-01, 1.36370839120290507362e-02, 1.19844998467991074170e-02,
)  # fmt: skip
# 1.25 <= |x| < 1/0.35: 1 - exp(-x^2 - 0.5625 + R / S) / |x| of 1 / x^2.
_RA = (
    -9.86494403484714822705e-03, -6.93858572707181764372e-01, -1.05586262253232909814e01,
    -6.23753324503260060396e01, -1.62396669462573470355e02, -1.84605092906711035994e02,
    -8.12874355063065934246e01, -9.81432934416914548592e00,
)  # fmt: skip
_SA = (
    1.0, 1.96512716674392571292e01, 1.37657754143519042600e02, 4.34565877475229228821e02,
    6.45387271733267880336e02, 4.29008140027567833386e02, 1.08635005541779435134e02,
    6.57024977031928170135e00, -6.04244152148580987438e-02,
)  # fmt: skip
# 1/0.35 <= |x| < 6, as above.
_RB = (
    -9.86494292470009928597e-03, -7.99283237680523006574e-01, -1.77579549177547519889e01,
    -1.60636384855821916062e02, -6.37566443368389627722e02, -1.02509513161107724954e03,
    -4.83519191608651397019e02,
)  # fmt: skip
_SB = (
    1.0, 3.03380607434824582924e01, 3.25792512996573918826e02, 1.53672958608443695994e03,
    3.19985821950859553908e03, 2.55305040643316442583e03, 4.74528541206955367215e02,
    -2.24409524465858183362e01,
)  # fmt: skip


def _ratio(
    x: FloatArray, numerator: tuple[float, ...], denominator: tuple[float, ...]
) -> FloatArray:
    result: FloatArray = polyval(x, numerator) / polyval(x, denominator)
    return result


def _tail(a: FloatArray, r: tuple[float, ...], s: tuple[float, ...]) -> FloatArray:
    # exp(-a^2) in two factors: z is a with its low 32 bits cleared, so z * z is exact.
    z = (a.view(np.uint64) & np.uint64(0xFFFFFFFF00000000)).view(np.float64)
    exponent = (z - a) * (z + a) + _ratio(1 / (a * a), r, s)
    return 1 - np.exp(-z * z - 0.5625) * np.exp(exponent) / a


def erf(x: NDArray[Any]) -> NDArray[Any]:
    """2 / sqrt(pi) * integral of exp(-t^2) from 0 to x, elementwise, in x's dtype."""
    wide = np.asarray(x, np.float64)
    size = np.abs(wide)
    result = np.where(np.isnan(wide), wide, 1.0)
    regions = (
        (size < 0.84375, lambda a: a + a * _ratio(a * a, _PP, _QQ)),
        ((size >= 0.84375) & (size < 1.25), lambda a: _ERX + _ratio(a - 1, _PA, _QA)),
        ((size >= 1.25) & (size < 1 / 0.35), lambda a: _tail(a, _RA, _SA)),
        ((size >= 1 / 0.35) & (size < 6), lambda a: _tail(a, _RB, _SB)),
    )
    for region, evaluate in regions:
        if region.any():
            result[region] = evaluate(size[region])
    return np.copysign(result, wide).astype(x.dtype, copy=False)

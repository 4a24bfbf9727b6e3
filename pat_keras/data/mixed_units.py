"""People's mean levels: two groups that lie a thousand times apart are measured in two units, such as g and mg.

Programs write ENMO in either under one name, and a model that learns from both learns which program was used.

Axes: k windows of a person, T minutes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pat_keras.data.epochs import RULE_OF_UNIT

_GAP = 1.5  # of log10, with nobody in it: people of one study do not differ by a factor of thirty
_FACTORS = (300.0, 3000.0)
_LEAST_PEOPLE, _LEAST_SHARE = 2, 0.1  # of either group; one of both is enough
_ALIKE = 2.0  # times the other's coefficient of variation


class MeanLevels:
    """Gathers each person's mean and how much the minutes vary, as windows come."""

    def __init__(self, unit: str) -> None:
        self._of_rates = RULE_OF_UNIT.get(unit) != "sum"  # counts have no second unit
        self._means: list[float] = []
        self._variations: list[float] = []

    def add(self, activity: np.ndarray) -> None:
        """Take the minutes (k, T) of a person; NaN = missing. Who never moves has no level."""
        known = activity[~np.isnan(activity)].astype(np.float64)
        mean = float(known.mean()) if known.size else 0.0
        if self._of_rates and mean > 0:
            self._means.append(mean)
            self._variations.append(float(known.std()) / mean)

    def two_units(self) -> dict[str, Any] | None:
        """people_low, people_high and factor (of the medians of their means) of two groups in two units; else None.

        In another unit, the minutes vary as much in proportion to their mean (std / mean). Devices that lay in a drawer
        give low means, too, but of hardly any variation (noise), or of a lot (zeros with a few jolts).
        """
        order = np.argsort(self._means)
        means, variations = np.array(self._means)[order], np.array(self._variations)[order]
        for n_low in np.flatnonzero(np.diff(np.log10(means)) > _GAP) + 1:
            factor = float(np.median(means[n_low:]) / np.median(means[:n_low]))
            smaller = min(n_low, len(means) - n_low)
            enough = smaller >= _LEAST_PEOPLE or smaller >= _LEAST_SHARE * len(means)
            less, more = sorted((np.median(variations[:n_low]), np.median(variations[n_low:])))
            alike = more <= _ALIKE * less + 1e-3  # of one value alone, float32 varies a little
            if enough and alike and _FACTORS[0] <= factor <= _FACTORS[1]:
                return {"people_low": int(n_low), "people_high": len(means) - int(n_low), "factor": factor}
        return None


def words_of(found: dict[str, Any], unit: str) -> str:
    """A sentence about what `two_units` found."""
    return (
        f"the mean {unit} of {found['people_low']:,} people is about {found['factor']:,.0f} times lower than that of "
        f"the other {found['people_high']:,}, and varies as much in proportion: two units, such as g and mg, may be "
        "mixed under one name. See how the files were exported, and bring all to one unit before any model learns from "
        "them."
    )

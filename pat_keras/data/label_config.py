"""Which labels are made of a table."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class LabelConfig:
    """Which labels are made of a table.

    Attributes:
        path: of the table.
        id_column: name of the column with the participants' ids.
        columns: of labels and covariates; none for all that hold numbers, or parts of a split.
        positive: a rule such as "phq9>=10", see `label_rules`; it makes a further column of 0 and 1.
        name: of that column.
        mapping: texts to numbers, such as "yes=1,no=0", for the one column in `columns`, or of several those columns of
            text whose every word it has.
        missing_values: that stand for a missing label, beside blanks, NA and NaN: in every column, or as "group:9" in
            one alone.
    """

    path: str
    id_column: str = "participant_id"
    columns: tuple[str, ...] = ()
    positive: str | None = None
    name: str = "label"
    mapping: str | None = None
    missing_values: tuple[str, ...] = ()

    def missing_of(self, column: str) -> tuple[str, ...]:
        """The texts that stand for a missing value in a column: those of every column, and its own."""
        own = f"{column}:"
        return tuple(value.removeprefix(own) for value in self.missing_values)

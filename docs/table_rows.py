"""Rows and columns of the tables of results."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        what: The model and the score, as shown in the table.
        file: The name of the summary, without `.json`.
        score: The name of the score in the summary.
        form: The format specification of values.
    """

    what: str
    file: str
    score: str
    form: str = ".4f"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A table with a row per summary, or per alternative in one summary, and a column per score.

    Attributes:
        lines: The model, as shown in the table, and the name of its summary without `.json`.
            SUMMARY/NAME takes those scores of SUMMARY whose names begin with NAME/.
        columns: The heading of a score, its name in the summaries, and its format specification.
        sort_by: The score whose means order the rows; None keeps the order of the lines.
        largest_first: Whether the row with the largest mean comes first.
    """

    lines: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str, str], ...]
    sort_by: str | None = None
    largest_first: bool = False

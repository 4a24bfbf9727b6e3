"""What a rule makes of the words of a column: those that are no answer are refused, the others are accounted for.

Axes: P people of the table.
"""

from __future__ import annotations

import collections
import re

import polars as pl

from pat_keras.data.label_file import LabelFile
from pat_keras.data.label_rules import PositiveRule
from pat_keras.errors import LabelError

# In small letters, without points, hyphens and the like at the ends, with plain apostrophes; nothing is left of "-".
_NO_ANSWER = re.compile(
    "(unkn?|unknown|undetermined|unanswered|unspecified|undisclosed|unbekannt|refused|refusal|declined|missing|"
    "no (answer|response|data)|(don't|dont|do not) know|n[. ]a|#n/a|k[.] ?a|keine angabe|prefer not to (say|answer)|"
    "not (known|available|applicable|answered|assessed|reported|recorded|stated|asked))?"
)
_MOST_WORDS = 8  # of an account


def check_answers(rule: PositiveRule, texts: pl.Series, file: LabelFile) -> None:
    """Refuses words that usually stand for no answer, and that the rule itself does not name.

    Args:
        rule: of texts.
        texts: (P,) the column, missing ones null.
        file: they are of.

    Raises:
        LabelError: if there is one: who did not answer would be counted as 0, or by != as 1.
    """
    words = [text for text in texts.drop_nulls().unique().sort() if _is_no_answer(text) and text not in rule.values]
    if not words:
        return
    found = texts.is_in(words).fill_null(False)
    at = int(found.arg_true()[0])
    raise LabelError(
        f"{file.path}, line {file.lines[at]}: {rule.column} is {texts[at]!r}, which is likely no answer, but "
        f"--positive={rule.text} would make a {'1' if rule.comparison == '!=' else '0'} of it ({found.sum()} such "
        f"lines). If it stands for a missing value, give --label_missing_values={','.join(words)}; if it is an answer, "
        "write it in other words."
    )


def _is_no_answer(text: str) -> bool:
    plain = text.replace("\u2019", "'").strip(" .-?_/*\u2013\u2014").casefold()
    return _NO_ANSWER.fullmatch(plain) is not None


def account_of(texts: pl.Series, positive: pl.Series, name_words: bool) -> str:
    """Which words became what, with numbers of people: "1 = case (5); 0 = control (12), ill (3)".

    At most eight words are named, the most frequent ones; and none if most people have a word of their own, which may
    tell who they are.

    Args:
        texts: (P,) the column, missing ones null.
        positive: (P,) 1.0 and 0.0, null = missing.
        name_words: whether to name any; not those of a column of ids.
    """
    given = texts.drop_nulls()
    named = name_words and not given.n_unique() > max(_MOST_WORDS, len(given) // 2)
    ones = collections.Counter(texts.filter(positive == 1).to_list())
    zeros = collections.Counter(texts.filter(positive == 0).to_list())
    kept = [word for word, _ in (ones + zeros).most_common(_MOST_WORDS)] if named else []
    parts = []
    for value, words in ((1, ones), (0, zeros)):
        listed = [f"{word} ({words[word]:,})" for word in kept if word in words]
        more = {word: count for word, count in words.items() if word not in kept}
        if more:
            which = f"{'more' if listed else 'different'} text{'s' if len(more) > 1 else ''}"
            listed.append(f"{len(more):,} {which} ({sum(more.values()):,})")
        parts.append(f"{value} = {', '.join(listed) or 'nobody'}")
    return "; ".join(parts)

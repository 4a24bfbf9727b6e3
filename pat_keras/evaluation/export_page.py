"""README.md of an exported model: what it takes and gives, and how to call it."""

from __future__ import annotations

from typing import Any

from pat_keras.evaluation.metrics import PRIMARY
from pat_keras.evaluation.plot_style import with_interval

_CALLS = {
    "onnx": """import numpy as np, onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
x = np.genfromtxt("example.csv", delimiter=",", skip_header=1, dtype=np.float32).T
(y,) = session.run(["{output}"], {{"{input}": x}})""",
    "saved_model": """import numpy as np, tensorflow as tf

model = tf.saved_model.load("saved_model")
x = np.genfromtxt("example.csv", delimiter=",", skip_header=1, dtype=np.float32).T
y = model.serve(x)["{output}"].numpy()""",
}


def readme(card: dict[str, Any]) -> str:
    """The page, in Markdown, of what `export_run` puts into card.json."""
    given, output, check = card["input"], card["output"], card["check"]
    call = _CALLS[card["format"]].format(input=given["name"], output=output["name"])
    warning = "**Trained on synthetic data: of no use for real people.**\n\n" if card["synthetic"] else ""
    return f"""# {card["label"]}: {card["run"]}

{warning}`{card["model"]}` was written by pat_keras {card["versions"]["pat_keras"]}.
For research: a prediction for one person is not a finding about that person.

## In

`{given["name"]}`, float32, (windows, {given["shape"][1]}): {given["what"]};
unit {given["unit"]}, one value every {given["epoch_length"]} s. Missing minutes: {given["missing"]}.

## Out

{_output(card)}{_tested(card)}
## How to call it

```python
{call}
```

`example.csv` holds {check["windows"]} simulated windows, one a column (an empty cell is a missing minute), and
`example_output.csv` what the model makes of them. In its own runtime the model gave the run's numbers to
{check["largest_difference"]:.1e}, both computed in float32; the run's own, in the precision that it was trained in,
differ by {check["largest_difference_from_the_run"]:.1e}. `card.json` has all this for programs, with SHA-256.
"""


def _output(card: dict[str, Any]) -> str:
    output = card["output"]
    if card["task"] == "regression":
        return f"`{output['name']}`, (windows,): {card['label']}, in the unit of the labels.\n\n" + _PEOPLE
    names = ", ".join(output["classes"])
    text = f"`{output['name']}`, (windows, {len(output['classes'])}): of the classes {names}; rows sum to 1.\n\n"
    threshold = card["test"].get("threshold")
    if isinstance(threshold, float):
        text += f"The threshold that validation people chose for class 1 is {threshold:.4g}. "
    return text + _PEOPLE


_PEOPLE = "A person's prediction is the mean over the person's windows.\n"


def _tested(card: dict[str, Any]) -> str:
    test, name = card["test"], PRIMARY[card["task"]]
    if test.get(name) is None:
        return ""
    return f"\nTested ({card['tested']}): {name.upper()} {with_interval(test, name, 3)}, {test['n']} people.\n"

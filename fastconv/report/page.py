"""The page: figures at the top, then the pictures, which it also writes as files."""

import base64
import html
from pathlib import Path

import numpy as np

from fastconv import __version__ as version
from fastconv.report import pictures

CSS_DPI = 96  # pixels of a page per inch


def check_report(folder):
    """Makes the folder, so that what cannot work fails before the training.

    Raises ImportError without matplotlib, ValueError or OSError for a folder that cannot be.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError("--report needs matplotlib: pip install 'fastconv[plot]'") from error
    folder = Path(folder)
    if not folder.parent.is_dir() or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"--report {folder}: must name a folder, in one that exists")
    folder.mkdir(exist_ok=True)


def write_report(folder, classifier, data, curves):
    """Writes report.html and its pictures as PNG files into `folder`; returns the page's path.

    classifier: a trained Classifier; data: its Dataset; curves: the LearningCurves of its training.
    """
    from matplotlib import rc_context

    folder = Path(folder)
    probabilities = classifier.probabilities(data.x_test)
    sections = []
    with rc_context(pictures.STYLE):
        for name, title, (figure, caption) in (
            ("curves", "Learning curves", pictures.draw_curves(curves)),
            ("confusion", "Confusion matrix", pictures.draw_confusion(data.y_test, probabilities)),
            ("mistakes", "Most confident mistakes", pictures.draw_mistakes(data, probabilities)),
            ("filters", "Filters of the first layer", pictures.draw_filters(classifier.model)),
            ("features", "Feature maps", pictures.draw_features(classifier, data)),
        ):
            path = folder / f"{name}.png"
            path.unlink(missing_ok=True)  # of an earlier run, which may have had one
            picture = None
            if figure is not None:
                figure.savefig(path)
                picture = path.read_bytes(), round(CSS_DPI * figure.get_figwidth())
            sections.append((title, caption, picture))
    page = folder / "report.html"
    facts = _facts(classifier, data, curves, probabilities)
    page.write_text(_page(facts, sections, classifier.model), "utf-8")
    return page


def _facts(classifier, data, curves, probabilities):
    """[(what, value)] for the top of the page."""
    right = probabilities.argmax(axis=1) == data.y_test
    channels, height, width = data.image_shape
    kind = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
    learned = sum(parameter.size for parameter in classifier.model.parameters())
    run = curves.run
    return [
        ("test accuracy", f"{100 * np.mean(right):.2f} %"),
        ("wrong of the test images", f"{np.count_nonzero(~right):,} of {len(right):,}"),
        ("training images", f"{len(data.x_train):,}, {height} x {width}, {kind}"),
        ("classes", f"{classifier.num_classes:,}"),
        ("epochs", f"{run.epoch}, batches of {curves.batches.batch_size}"),
        ("learned numbers", f"{learned:,}"),
    ]


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Training report</title>
<style>
body {{ max-width: 960px; margin: 3rem auto; padding: 0 1.5rem; color: #222; background: #fff;
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }}
h1 {{ font-size: 1.9rem; font-weight: 650; margin: 0 0 1.5rem; }}
h2 {{ font-size: 1.2rem; font-weight: 650; margin: 3.5rem 0 .25rem; }}
dl {{ display: flex; flex-wrap: wrap; gap: 1.25rem 2rem; margin: 0; padding: 1.25rem 0;
  border: solid #ddd; border-width: 1px 0; }}
dl div {{ flex: 1 1 16rem; }}
dt {{ color: #666; font-size: .85rem; }}
dd {{ margin: 0; font-size: 1.2rem; font-variant-numeric: tabular-nums; }}
p {{ margin: 0 0 1rem; color: #555; max-width: 44rem; }}
img {{ display: block; max-width: 100%; height: auto; }}
pre {{ font: .85rem/1.45 ui-monospace, Consolas, "DejaVu Sans Mono", monospace; overflow-x: auto;
  background: #f6f6f6; padding: 1rem; border-radius: 4px; }}
footer {{ margin-top: 3.5rem; color: #888; font-size: .85rem; }}
</style>
</head>
<body>
<h1>Training report</h1>
<dl>
{facts}
</dl>
{sections}
<section>
<h2>Model</h2>
<pre>{model}</pre>
</section>
<footer>fastconv {version}</footer>
</body>
</html>
"""


def _page(facts, sections, model):
    def text(value):
        return html.escape(str(value))

    def section(title, caption, picture):
        lines = [f"<h2>{text(title)}</h2>", f"<p>{text(caption)}</p>"]
        if picture is not None:
            png, width = picture
            uri = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
            lines.append(f'<img alt="{text(title)}" width="{width}" src="{uri}">')
        return "\n".join(["<section>", *lines, "</section>"])

    return _PAGE.format(
        facts="\n".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in facts),
        sections="\n".join(section(*each) for each in sections),
        model=text(model),
        version=text(version),
    )

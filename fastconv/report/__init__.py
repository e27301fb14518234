"""Pictures of a training run, and one page that holds them: `fastconv train --report DIR`.

Drawn with matplotlib (extra `plot`).  The page needs no network and no other file.
"""

from fastconv.report.curves import LearningCurves
from fastconv.report.page import check_report, write_report

__all__ = ["LearningCurves", "check_report", "write_report"]

"""The shape of a zero-shot answer that a client can read: its User-Agent tells its version."""

from __future__ import annotations

from typing import Any, NamedTuple

from serve_app.ingress.routes.context import RequestContext
from serve_app.ingress.routes.huggingface.client_versions import JAVASCRIPT, PYTHON, version_of
from serve_app.ingress.routes.label_scores import Ranking

FIRST_PYTHON_WITHOUT_COLUMNS = (1, 2)
FIRST_JAVASCRIPT_WITHOUT_COLUMNS = (4, 5)


class ZeroShotShape(NamedTuple):
    """With ``columns`` a text's answer is ``{sequence, labels, scores}``, as the hosted API's was.

    ``single_in_list`` puts the answer of a single text into a list; ``list_of_one_bare`` answers a
    list of one text as if it were a single text.
    """

    columns: bool = False
    single_in_list: bool = False
    list_of_one_bare: bool = False

    @classmethod
    def of(cls, context: RequestContext) -> ZeroShotShape:
        python, javascript = version_of(PYTHON, context), version_of(JAVASCRIPT, context)
        if python is not None:
            return cls(columns=python < FIRST_PYTHON_WITHOUT_COLUMNS)
        if javascript is None:
            return cls()
        if javascript < FIRST_JAVASCRIPT_WITHOUT_COLUMNS:
            return cls(columns=True, single_in_list=True)
        return cls(list_of_one_bare=True)

    def inputs(self, given: str | list[str]) -> str | list[str]:
        """The texts as a list or a single text, as they are to be answered."""
        if isinstance(given, str):
            return [given] if self.single_in_list else given
        return given[0] if self.list_of_one_bare and len(given) == 1 else given

    def shown(self, text: str, ranking: Ranking) -> Any:
        """One text's answer, best label first."""
        if not self.columns:
            return [{"label": each.label, "score": each.score} for each in ranking]
        return {
            "sequence": text,
            "labels": [each.label for each in ranking],
            "scores": [each.score for each in ranking],
        }

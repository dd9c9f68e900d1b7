"""Requests with every honoured field, for each body of Cohere's API."""

from __future__ import annotations

from serve_app.ingress.routes.cohere.embed import CohereEmbedBody
from serve_app.ingress.routes.cohere.rerank import CohereRerankBody
from serve_app.ingress.validation.fields import Body
from tests.serve_app.api_body_parts import Bodies
from tests.serve_app.every_task import MODEL

COHERE: dict[type[Body], Bodies] = {
    CohereRerankBody: [
        {
            "query": "a",
            "documents": ["b", {"text": "c"}],
            "model": MODEL,
            "top_n": 1,
            "return_documents": True,
            "max_tokens_per_doc": 9,
        }
    ],
    CohereEmbedBody: [
        {
            "texts": ["a"],
            "model": MODEL,
            "input_type": "search_query",
            "embedding_types": ["ubinary"],
            "truncate": "NONE",
            "output_dimension": 1,
        }
    ],
}

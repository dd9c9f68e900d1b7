"""The list of models, known without asking any replica."""

from __future__ import annotations

from configs.weights import DtypeChoice, DtypeFigures
from deployments.seam.replicas import LiveLimits, ModelStatus, ReplicaReport
from tests.serve_app import house
from tests.serve_app.house import FAST, FULL, NATIVE, WINDOW
from tests.serve_app.local_handle import Family


async def test_every_model_tells_what_it_is_and_what_its_engine_cannot_do() -> None:
    body = (await house.get(house.app(), f"{NATIVE}/models")).json()
    assert [model["name"] for model in body["models"]] == [
        FAST,
        FULL,
        "house/vectors",
        "house/mood",
    ]
    fast, full = body["models"][:2]
    assert fast["aliases"] == ["fast"]
    assert (fast["family"], fast["tasks"]) == ("generation", ["generate", "chat"])
    assert (fast["engine"], fast["pinned"]) == ("openvino", True)
    assert fast["limits"] == {"window": WINDOW, "max_tokens": None}
    assert "logit_bias" in fast["unsupported"]
    assert "logit_bias" not in full["unsupported"]


async def test_a_model_that_may_run_on_several_engines_says_where_which_one_does() -> None:
    body = (await house.get(house.app(), f"{NATIVE}/models")).json()
    fast, vectors = body["models"][0], body["models"][2]
    assert (fast["engine"], fast["engines"]) == ("openvino", ["openvino"])
    assert (vectors["engine"], vectors["engines"]) == ("auto", ["openvino", "torch"])
    assert vectors["unsupported"] == []


class Measured(Family):
    """A replica whose text generator computes in bfloat16, as measured."""

    async def loaded_models(self, request: None) -> ReplicaReport:
        figures = {
            "float32": DtypeFigures(100.0, 20.0, 48),
            "bfloat16": DtypeFigures(170.0, 20.1, 48, compared_texts=16, same_texts=15),
        }
        choice = DtypeChoice("bfloat16", figures)
        status = ModelStatus(FAST, "warm", engine="openvino", dtype_choice=choice, slots=16)
        return ReplicaReport("prsm#Generation#x", "node-1", (status,))


async def test_a_text_generator_tells_its_dtype_on_each_replica_and_what_was_measured() -> None:
    body = (await house.get(house.app({"generation": Measured()}), f"{NATIVE}/models")).json()
    fast = body["models"][0]
    assert (fast["dtype"], fast["notes"]) == ("auto", [])
    (place,) = fast["loaded"]
    assert (place["engine"], place["dtype"], place["slots"]) == ("openvino", "bfloat16", 16)
    assert place["measured_dtypes"]["bfloat16"] == {
        "tokens_per_s": 170.0,
        "perplexity": 20.1,
        "compared_tokens": 48,
        "compared_texts": 16,
        "same_texts": 15,
        "refusal": None,
    }


async def test_the_list_carries_what_every_native_answer_carries() -> None:
    response = await house.get(house.app(), f"{NATIVE}/models", **{"x-request-id": "abc"})
    assert response.json()["request_id"] == "abc"
    assert response.json()["execution_time"] >= 0
    assert "data" not in response.json()


class Limited(Family):
    """A replica of the embeddings that did not take its last ``user_config``."""

    async def loaded_models(self, request: None) -> ReplicaReport:
        limits = LiveLimits("embeddings", {"max_batch_size": 6}, ("user_config.max_batch: no",))
        return ReplicaReport("prsm#Embeddings#x", "node-1", (), limits=limits)


async def test_the_live_limits_in_force_are_told_for_each_replica_with_what_was_refused() -> None:
    body = (await house.get(house.app({"embeddings": Limited()}), f"{NATIVE}/models")).json()
    told = {model["name"]: model["live_limits"] for model in body["models"]}
    assert told == {
        FAST: [],
        FULL: [],
        "house/mood": [],
        "house/vectors": [
            {
                "replica": "prsm#Embeddings#x",
                "node": "node-1",
                "in_force": {"max_batch_size": 6},
                "refused": ["user_config.max_batch: no"],
            }
        ],
    }
